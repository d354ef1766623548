package projections

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// filled sets every field of a value, however deep, to something that is not zero.
func filled(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		filled(v.Index(0), n)
		filled(v.Index(1), n)
	case reflect.String:
		v.SetString(strings.Repeat("ä", int(*n)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(*n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1_700_000_000+*n, 123_456_789).UTC()))
			return
		}
		for i := range v.NumField() {
			filled(v.Field(i), n)
		}
	default:
		panic("a field of a kind that nobody packs: " + v.Kind().String())
	}
}

func TestPackedVersionsComeBack(t *testing.T) {
	t.Parallel()
	var all FileVersions
	n := int64(0)
	filled(reflect.ValueOf(&all).Elem(), &n)
	digest := strings.Repeat("9f86d081", 8)
	for _, vs := range []FileVersions{
		nil, {{}}, all,
		{{SHA256: "ab"}, {SHA256: "9F86"}, {Score: NoScore, Name: "\xff\x00"}},
		{{Derivatives: []media.Derivative{{}, {Kind: media.KindClean}}, Seen: &Seen{}}},
	} {
		packed := vs.appendPacked(nil)
		var got FileVersions
		sure(t, got.readPacked(packed))
		if !reflect.DeepEqual(got, vs) {
			t.Errorf("%+v became %+v", vs, got)
		}
		for cut := range packed {
			if err := got.readPacked(packed[:cut]); err == nil {
				t.Fatalf("%d of %d bytes are understood", cut, len(packed))
			}
		}
	}
	for text, size := range map[string]int{digest: 33, strings.ToUpper(digest): 66, digest[:63] + "x": 66} {
		p := packer{}
		if p.digest(domain.Digest(text)); len(p.buf) != size {
			t.Errorf("%s takes %d bytes, not %d", text, len(p.buf), size)
		}
		if u := (unpacker{b: p.buf}); string(u.digest()) != text {
			t.Errorf("%s does not come back", text)
		}
	}
}

func FuzzUnpacking(f *testing.F) {
	f.Add([]byte{packedFormat, 2, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		var vs FileVersions
		if vs.readPacked(b) == nil {
			var again FileVersions
			if err := again.readPacked(vs.appendPacked(nil)); err != nil || len(again) != len(vs) {
				t.Errorf("%x is read, and not read again: %v", b, err)
			}
		}
	})
}
