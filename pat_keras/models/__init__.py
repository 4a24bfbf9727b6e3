"""The networks, in keras and keras.ops alone, so that TensorFlow, JAX and PyTorch all run them."""
