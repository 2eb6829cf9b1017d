"""What data sets are read from: archives, folders of images, and how an image is looked at."""
