"""What the families of image models share: decoding, preprocessing, batches of pixels."""
