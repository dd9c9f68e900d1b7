"""What the families of image models share: decoding, preprocessing, and the image family."""
