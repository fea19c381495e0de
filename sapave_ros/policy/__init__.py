"""The trained policy at run time: ONNX Runtime, its manifest and its tokenizer. No torch."""
