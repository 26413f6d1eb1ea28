"""What a reader of the science never needs to open: arguments, devices, files, checkpoints, downloads."""
