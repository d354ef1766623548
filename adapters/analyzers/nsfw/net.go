package nsfw

import (
	"fmt"
	"math"
	"sync"
)

// net is MobileNetV2, 1.4 times as wide (Sandler et al., 2018), with its batch normalisation folded into the weights. Activations
// are stored pixel by pixel, channels together.
type net struct {
	first  dense // 3x3, stride 2, as a product over the 27 values around each pixel
	blocks []block
	last   dense
	head   dense // to the classes

	scratch sync.Pool // *buffers
}

// block is an inverted residual: widen, look around each pixel in each channel, narrow.
type block struct {
	expand  *dense // nil in the first block
	depth   depthwise
	project dense
	stride  int
	add     bool // what came in is added to what comes out
}

// dense is a product with a matrix [in][out] for each pixel, and a bias.
type dense struct {
	in, out int
	panels  []float32 // of panelWidth columns each: for each row of the matrix, its part of the panel
	bias    []float32
	relu6   bool
}

// depthwise is a 3x3 convolution of each channel by itself, a bias, and a clamp to 0..6.
type depthwise struct {
	channels      int
	weights, bias []float32 // [9][channels]
}

// buffers are the activations of one inference: a layer reads one and writes another.
type buffers struct{ a, b, c []float32 }

// most is the size of the largest activation: 112 x 112 pixels with 144 channels, with room for a last group of rows.
const most = 112*112*144 + rows*1792

// widths of the blocks' outputs and their strides.
func shape() (outs, strides []int) {
	outs = []int{24, 32, 32, 48, 48, 48, 88, 88, 88, 88, 136, 136, 136, 224, 224, 224, 448}
	strides = []int{1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1}
	return outs, strides
}

// build makes the net of its weights; tensor answers one by name, and fails when it has not the shape.
func build(tensor func(name string, shape ...int) ([]float32, error)) (*net, error) {
	var failed error
	get := func(name string, shape ...int) []float32 {
		t, err := tensor(name, shape...)
		if err != nil && failed == nil {
			failed = err
		}
		return t
	}
	conv := func(name string, side, in, out int, relu6 bool) dense {
		w, bias := get(name+"/Conv2D_weights", side, side, in, out), get(name+"/Conv2D_bn_offset", out)
		if failed != nil {
			return dense{}
		}
		return newDense(w, bias, side*side*in, out, relu6)
	}
	n := &net{first: conv("Conv", 3, 3, 48, true)}
	in := 48
	outs, strides := shape()
	for i, out := range outs {
		name := "expanded_conv"
		wide := in
		b := block{stride: strides[i], add: strides[i] == 1 && in == out}
		if i > 0 {
			name, wide = fmt.Sprintf("expanded_conv_%d", i), 6*in
			expand := conv(name+"/expand", 1, in, wide, true)
			b.expand = &expand
		}
		b.depth = depthwise{
			channels: wide, weights: get(name+"/depthwise/depthwise_weights", 3, 3, wide, 1), bias: get(name+"/depthwise/depthwise_bn_offset", wide),
		}
		b.project = conv(name+"/project", 1, wide, out, false)
		n.blocks = append(n.blocks, b)
		in = out
	}
	n.last = conv("Conv_1", 1, in, 1792, true)
	w, bias := get("head/weights", 1792, classes), get("head/bias", classes)
	if failed != nil {
		return nil, failed
	}
	n.head = newDense(w, bias, 1792, classes, false)
	n.scratch.New = func() any { return &buffers{make([]float32, most), make([]float32, most), make([]float32, most)} }
	return n, nil
}

// infer scores one picture: size x size x 3.
func (n *net) infer(picture []float32) Scores {
	buf, _ := n.scratch.Get().(*buffers)
	defer n.scratch.Put(buf)
	x, y, z := buf.a, buf.b, buf.c
	around(y, picture)
	side := size / 2
	n.first.apply(x, y, side*side)
	for _, b := range n.blocks {
		wide := x
		if b.expand != nil {
			b.expand.apply(y, x, side*side)
			wide = y
		}
		out := b.depth.apply(z, wide, side, b.stride)
		target := y
		b.project.apply(target, z, out*out)
		if b.add {
			for i := range out * out * b.project.out {
				target[i] += x[i]
			}
		}
		x, y, side = target, x, out
	}
	n.last.apply(y, x, side*side)
	mean := z[:1792]
	clear(mean)
	for p := range side * side {
		for c, v := range y[p*1792 : (p+1)*1792] {
			mean[c] += v
		}
	}
	for c := range mean {
		mean[c] /= float32(side * side)
	}
	n.head.apply(x, z, 1)
	return softmax(x[:classes])
}

func softmax(logits []float32) Scores {
	greatest := float64(logits[0])
	for _, l := range logits {
		greatest = max(greatest, float64(l))
	}
	var s Scores
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l) - greatest)
	}
	for i, l := range logits {
		s[i] = float32(math.Exp(float64(l)-greatest) / sum)
	}
	return s
}

// around lays the 27 values around every second pixel side by side. As TensorFlow pads an even side at stride 2: nothing before,
// one after.
func around(dst, picture []float32) {
	const side = size / 2
	for y := range side {
		for x := range side {
			to := dst[(y*side+x)*27 : (y*side+x)*27+27]
			for dy := range 3 {
				for dx := range 3 {
					part := to[(dy*3+dx)*3 : (dy*3+dx)*3+3]
					if sy, sx := 2*y+dy, 2*x+dx; sy < size && sx < size {
						copy(part, picture[(sy*size+sx)*3:])
					} else {
						clear(part)
					}
				}
			}
		}
	}
}

// apply convolves and answers the side of what it wrote.
func (d depthwise) apply(dst, src []float32, side, stride int) int {
	out, before := side, 1
	if stride == 2 {
		out = side / 2
		before = 0 // an even side: see around
	}
	n := d.channels
	for y := range out {
		for x := range out {
			to := dst[(y*out+x)*n : (y*out+x)*n+n]
			copy(to, d.bias)
			for dy := range 3 {
				sy := y*stride + dy - before
				if sy < 0 || sy >= side {
					continue
				}
				for dx := range 3 {
					sx := x*stride + dx - before
					if sx < 0 || sx >= side {
						continue
					}
					tap := dy*3 + dx
					multiplyAdd(to, src[(sy*side+sx)*n:(sy*side+sx)*n+n], d.weights[tap*n:tap*n+n])
				}
			}
			clamp6(to)
		}
	}
	return out
}

func clamp6(v []float32) {
	for i := range v {
		v[i] = min(max(v[i], 0), 6)
	}
}
