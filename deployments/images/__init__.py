"""Code shared by the families of image models: decoding, preprocessing and batching of images."""
