"""What starts processes, opens sockets or waits for a deadline, and needs no privilege."""
