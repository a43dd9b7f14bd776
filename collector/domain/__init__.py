"""What is true: pure functions and values, told the time, without input or output."""
