package nsfw

import "golang.org/x/sys/cpu"

// tile4x16 is multiplyPlain with AVX2 and FMA: 16 floats in two registers, times 4 rows.
//
//go:noescape
func tile4x16(k int, a *float32, stride int, panel *float32, tile *float32)

// fma8 adds the products of a and b to dst: n floats, a multiple of 8.
//
//go:noescape
func fma8(n int, dst, a, b *float32)

func vectors() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA }

func multiply(k int, a, panel []float32, tile *[rows * panelWidth]float32) {
	if !vectors() {
		multiplyPlain(k, a, panel, tile)
		return
	}
	_, _ = a[rows*k-1], panel[panelWidth*k-1] // the assembly does not look
	tile4x16(k, &a[0], 4*k, &panel[0], &tile[0])
}

func multiplyAdd(dst, a, b []float32) {
	n := len(dst) &^ 7
	if n == 0 || !vectors() {
		multiplyAddPlain(dst, a, b)
		return
	}
	_, _ = a[n-1], b[n-1]
	fma8(n, &dst[0], &a[0], &b[0])
	multiplyAddPlain(dst[n:], a[n:], b[n:])
}
