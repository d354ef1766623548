package nsfw

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Package is the npm package that carries the model, and its SHA-256. Its author gives it under the MIT licence.
const (
	Package       = "nsfwjs@4.4.0"
	PackageSHA256 = "585cd178f3b994337c4d10a87b080d342fc52f8b9bf0085c4d1f345a3a1c5382"
)

// FileName is the model's file in the folder of models, and fileSHA256 what it must be: made of the package's files by Convert,
// always the same.
const (
	FileName   = "nsfwjs-4.4.0-mobilenet-v2-mid.model"
	fileSHA256 = "df207579b9f22c948cb16cebc76abd042ea871667d08bd47eea584239d7089b1"
)

// Entries are the files of the package that Convert needs, in its order: the description, and the weights in two parts.
func Entries() []string {
	const folder = "package/dist/models/mobilenet_v2_mid/"
	return []string{folder + "model.min.js", folder + "group1-shard1of2.min.js", folder + "group1-shard2of2.min.js"}
}

// tensor is one of the model's, as its file describes it: bytes that stand for Min + Scale x byte.
type tensor struct {
	Name  string  `json:"name"`
	Shape []int   `json:"shape"`
	Min   float64 `json:"min"`
	Scale float64 `json:"scale"`
}

func (t tensor) size() int {
	n := 1
	for _, s := range t.Shape {
		n *= s
	}
	return n
}

// magic begins a model's file; then come the length of the description in 4 bytes, the description, and the weights.
const magic = "vault-model-1\n"

// Convert makes the model's file of the package's: they are JavaScript, in which the description and the weights are literals.
func Convert(entries [][]byte) ([]byte, error) {
	if len(entries) != len(Entries()) {
		return nil, fmt.Errorf("convert a model: %d files, not %d", len(entries), len(Entries()))
	}
	described := regexp.MustCompile(`\{name:"([^"]+)",shape:\[([0-9,]*)\],dtype:"float32",quantization:\{min:([-+.0-9e]+),scale:([-+.0-9e]+),dtype:"uint8"\}\}`)
	var tensors []tensor
	total := 0
	for _, m := range described.FindAllSubmatch(entries[0], -1) {
		t := tensor{Name: shortName(string(m[1]))}
		for s := range strings.SplitSeq(string(m[2]), ",") {
			if s == "" {
				continue
			}
			n, err := strconv.Atoi(s)
			if err != nil {
				return nil, fmt.Errorf("convert a model: shape of %s: %w", t.Name, err)
			}
			t.Shape = append(t.Shape, n)
		}
		var errs [2]error
		t.Min, errs[0] = strconv.ParseFloat(string(m[3]), 64)
		t.Scale, errs[1] = strconv.ParseFloat(string(m[4]), 64)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("convert a model: %s: %w", t.Name, err)
		}
		tensors = append(tensors, t)
		total += t.size()
	}
	var weights []byte
	literal := regexp.MustCompile(`exports="([A-Za-z0-9+/=]{1000,})"`)
	for _, e := range entries[1:] {
		m := literal.FindSubmatch(e)
		if m == nil {
			return nil, errors.New("convert a model: a file has no weights")
		}
		part, err := base64.StdEncoding.DecodeString(string(m[1]))
		if err != nil {
			return nil, fmt.Errorf("convert a model: weights: %w", err)
		}
		weights = append(weights, part...)
	}
	if total != len(weights) || total == 0 {
		return nil, fmt.Errorf("convert a model: %d bytes of weights, %d are described", len(weights), total)
	}
	head, err := json.Marshal(tensors)
	if err != nil {
		return nil, fmt.Errorf("convert a model: %w", err)
	}
	out := append([]byte(magic), binary.BigEndian.AppendUint32(nil, uint32(len(head)))...) //nolint:gosec // some kilobytes
	return slices.Concat(out, head, weights), nil
}

// shortName leaves out what all names have in common.
func shortName(name string) string {
	if _, after, ok := strings.Cut(name, "MobilenetV2/"); ok {
		return after
	}
	switch {
	case strings.HasSuffix(name, "_262"):
		return "head/weights"
	case strings.HasSuffix(name, "_263"):
		return "head/bias"
	}
	return name
}

// Check says whether the bytes are the model's file.
func Check(file []byte) error {
	if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != fileSHA256 {
		return fmt.Errorf("the model is not what it should be: its SHA-256 is %x", sum)
	}
	return nil
}

// Open finds the model in the folder of models, and holds it to its hash. Errors: ErrNoModel when it is not there.
func Open(folder string) (*Model, error) {
	path := filepath.Join(folder, FileName)
	if _, err := read(path); err != nil {
		return nil, err
	}
	return newModel(fileSHA256, func() (*net, error) {
		file, err := read(path)
		if err != nil {
			return nil, err
		}
		return parse(file)
	}), nil
}

func read(path string) ([]byte, error) {
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoModel
	}
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	if err := Check(file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

func parse(file []byte) (*net, error) {
	rest, ok := bytes.CutPrefix(file, []byte(magic))
	if !ok || len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
		return nil, errors.New("the file is no model")
	}
	head, weights := rest[4:4+binary.BigEndian.Uint32(rest)], rest[4+binary.BigEndian.Uint32(rest):]
	var tensors []tensor
	if err := json.Unmarshal(head, &tensors); err != nil {
		return nil, fmt.Errorf("the model's description: %w", err)
	}
	values := map[string][]float32{}
	shapes := map[string][]int{}
	for _, t := range tensors {
		n := t.size()
		if n < 0 || n > len(weights) {
			return nil, fmt.Errorf("the model's %s is not all there", t.Name)
		}
		v := make([]float32, n)
		for i, b := range weights[:n] {
			v[i] = float32(float64(b)*t.Scale + t.Min)
		}
		values[t.Name], shapes[t.Name], weights = v, t.Shape, weights[n:]
	}
	return build(func(name string, shape ...int) ([]float32, error) {
		if !slices.Equal(shapes[name], shape) {
			return nil, fmt.Errorf("the model's %s has the shape %v, not %v", name, shapes[name], shape)
		}
		return values[name], nil
	})
}
