"""One module a source: device and study files in, recordings or labels out."""
