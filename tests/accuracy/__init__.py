"""The confusion matrix: every incident on every backend, the cause that was staged against the cause that was found."""
