"""Instructions with semantics: a grammar that asks for what is in a room, and an interpreter that checks it.

`requests` draws instructions for a room; `resolve` says what a text means in one; `captions` describe single things.
The road of an instruction: `facts` (what is true in the room) -> `sampling` (a description that tells one thing apart)
-> `wording` by the rules of `phrases` (words). `interpreter` goes the other way, knowing nothing of those rules.
"""

from sapave_ros.learning.language.asking import carriers, requests, vocabulary
from sapave_ros.learning.language.captions import attributes, captions
from sapave_ros.learning.language.interpreter import resolve
from sapave_ros.learning.language.meaning import (
    DIRECTIONS,
    KINDS_OF_INSTRUCTION,
    MAX_WORDS,
    SPLITS,
    Goal,
    Request,
    head_pose,
)

__all__ = [
    "DIRECTIONS",
    "KINDS_OF_INSTRUCTION",
    "MAX_WORDS",
    "SPLITS",
    "Goal",
    "Request",
    "attributes",
    "captions",
    "carriers",
    "head_pose",
    "requests",
    "resolve",
    "vocabulary",
]
