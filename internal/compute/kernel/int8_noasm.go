package kernel

func quantizeInt8(dst []byte, src []float32) { quantizeInt8Generic(dst, src) }
