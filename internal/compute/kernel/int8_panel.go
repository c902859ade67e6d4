package kernel

// Panel is how many rows of a weight are stored together: the lanes of one 512-bit register of float32.
const Panel = 16
