"""What surrounds the work of a job. Nothing here changes a number but the device and the state."""
