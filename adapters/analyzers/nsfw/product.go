package nsfw

// A product is computed in tiles of rows x panelWidth: that many sums stay in registers while the inner dimension goes by.
const (
	rows       = 4
	panelWidth = 16
)

func newDense(w, bias []float32, in, out int, relu6 bool) dense {
	d := dense{in: in, out: out, bias: bias, relu6: relu6}
	for from := 0; from < out; from += panelWidth {
		for k := range in {
			for j := from; j < from+panelWidth; j++ {
				v := float32(0)
				if j < out {
					v = w[k*out+j]
				}
				d.panels = append(d.panels, v)
			}
		}
	}
	return d
}

// apply multiplies n pixels. Both slices must have room for rows-1 pixels more; what is written there is thrown away.
func (d *dense) apply(dst, src []float32, n int) {
	var tile [rows * panelWidth]float32
	for p := 0; p < n; p += rows {
		a := src[p*d.in : (p+rows)*d.in]
		for from := 0; from < d.out; from += panelWidth {
			multiply(d.in, a, d.panels[from*d.in:(from+panelWidth)*d.in], &tile)
			width := min(panelWidth, d.out-from)
			bias := d.bias[from : from+width]
			for r := range min(rows, n-p) {
				to, sums := dst[(p+r)*d.out+from:(p+r)*d.out+from+width], tile[r*panelWidth:r*panelWidth+width]
				if d.relu6 {
					for i := range to {
						to[i] = min(max(sums[i]+bias[i], 0), 6)
					}
				} else {
					for i := range to {
						to[i] = sums[i] + bias[i]
					}
				}
			}
		}
	}
}

// multiplyPlain is one tile in plain Go: rows of a, each k long, times a panel.
func multiplyPlain(k int, a, panel []float32, tile *[rows * panelWidth]float32) {
	for r := 0; r < rows; r += 2 {
		a0, a1 := a[r*k:r*k+k], a[(r+1)*k:(r+1)*k+k]
		a1 = a1[:len(a0)]
		for j := 0; j < panelWidth; j += 4 {
			var s00, s01, s02, s03, s10, s11, s12, s13 float32
			rest := panel[j:]
			for i, x := range a0 {
				y := a1[i]
				b := rest[:4:4]
				s00 += x * b[0]
				s01 += x * b[1]
				s02 += x * b[2]
				s03 += x * b[3]
				s10 += y * b[0]
				s11 += y * b[1]
				s12 += y * b[2]
				s13 += y * b[3]
				rest = rest[min(panelWidth, len(rest)):]
			}
			t := tile[r*panelWidth+j:]
			t[0], t[1], t[2], t[3] = s00, s01, s02, s03
			t = tile[(r+1)*panelWidth+j:]
			t[0], t[1], t[2], t[3] = s10, s11, s12, s13
		}
	}
}

// multiplyAddPlain adds the products of a and b to dst, in plain Go.
func multiplyAddPlain(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] += a[i] * b[i]
	}
}
