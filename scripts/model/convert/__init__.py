"""Turns a GGUF file into ONNX decoders with a KV cache; see ../gguf2onnx.py."""
