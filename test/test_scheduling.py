"""Who gets the processor first, where Linux shares it out among sessions before it looks at niceness."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

AUTOGROUP = Path("/proc/self/autogroup")

TELL = f"""
import json, os
from sapave_ros import scheduling
scheduling.ahead()
print(json.dumps([os.getpriority(os.PRIO_PROCESS, 0), open({str(AUTOGROUP)!r}).read().split()[-1]]))
"""
BETWEEN = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {TELL!r}]).returncode)"
BEFORE_IT = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {BETWEEN!r}]).returncode)"


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group by session")
@pytest.mark.parametrize(
    ("program", "ours"),
    [(TELL, True), (BETWEEN, True), (BEFORE_IT, False)],
    ids=["leads the session", "was started by its leader", "in somebody else's"],
)
def test_who_goes_ahead_takes_along_its_own_session_and_no_other(program, ours):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, start_new_session=True, check=True
    )
    nice, of_session = json.loads(done.stdout)
    assert int(of_session) == (nice if ours else 0), "as far as there is a right to it"
