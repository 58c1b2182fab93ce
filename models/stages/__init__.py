"""What a training stage does from folder to folder, in one process or as a rank of several: load, train, save."""
