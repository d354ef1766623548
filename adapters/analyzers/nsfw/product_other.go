//go:build !amd64

package nsfw

func multiply(k int, a, panel []float32, tile *[rows * panelWidth]float32) {
	multiplyPlain(k, a, panel, tile)
}

func multiplyAdd(dst, a, b []float32) { multiplyAddPlain(dst, a, b) }
