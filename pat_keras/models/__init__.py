"""The networks, in keras and keras.ops alone, so that TensorFlow and JAX both run them."""
