package media

import (
	"slices"
	"strings"
)

// Format is a type of content that the vault accepts.
type Format struct {
	Type       string   // MIME type
	Extensions []string // in lower case, the usual one first
	Aliases    []string // other names under which clients declare it
	Sniffed    []string // what content of this type looks like to a sniffer that cannot tell it from a wider type
}

// formats is the owner's whitelist. What a browser would run (SVG, HTML), archives and macro documents are not on it.
var formats = []Format{
	// Images.
	{Type: "image/jpeg", Extensions: []string{"jpg", "jpeg", "jpe", "jfif"}, Aliases: []string{"image/jpg", "image/pjpeg"}},
	{Type: "image/png", Extensions: []string{"png"}, Aliases: []string{"image/x-png"}},
	{Type: "image/apng", Extensions: []string{"apng", "png"}, Aliases: []string{"image/vnd.mozilla.apng", "image/png"}},
	{Type: "image/gif", Extensions: []string{"gif"}},
	{Type: "image/webp", Extensions: []string{"webp"}},
	{Type: "image/avif", Extensions: []string{"avif"}},
	{Type: "image/heic", Extensions: []string{"heic", "heif", "hif"}, Aliases: []string{"image/heif"}},
	{Type: "image/heic-sequence", Extensions: []string{"heics", "heic", "heif"}, Aliases: []string{"image/heic"}},
	{Type: "image/heif", Extensions: []string{"heif", "heic", "hif"}, Aliases: []string{"image/heic"}},
	{Type: "image/heif-sequence", Extensions: []string{"heifs", "heif"}, Aliases: []string{"image/heif"}},
	{Type: "image/jxl", Extensions: []string{"jxl"}},
	{Type: "image/jp2", Extensions: []string{"jp2", "j2k"}, Aliases: []string{"image/jpeg2000"}},
	{Type: "image/jpx", Extensions: []string{"jpx", "jpf"}},
	{Type: "image/jpm", Extensions: []string{"jpm"}, Aliases: []string{"video/jpm"}},
	{Type: "image/tiff", Extensions: []string{"tif", "tiff"}, Aliases: []string{"image/x-tiff"}},
	{Type: "image/x-adobe-dng", Extensions: []string{"dng"}, Aliases: []string{"image/dng"}, Sniffed: []string{"image/tiff"}},
	{Type: "image/x-canon-cr2", Extensions: []string{"cr2"}, Sniffed: []string{"image/tiff"}},
	{Type: "image/x-nikon-nef", Extensions: []string{"nef"}, Sniffed: []string{"image/tiff"}},
	{Type: "image/x-sony-arw", Extensions: []string{"arw"}, Sniffed: []string{"image/tiff"}},
	{Type: "image/x-pentax-pef", Extensions: []string{"pef"}, Sniffed: []string{"image/tiff"}},
	{Type: "image/bmp", Extensions: []string{"bmp", "dib"}, Aliases: []string{"image/x-bmp", "image/x-ms-bmp"}},
	{Type: "image/x-icon", Extensions: []string{"ico"}, Aliases: []string{"image/vnd.microsoft.icon"}},
	{Type: "image/vnd.adobe.photoshop", Extensions: []string{"psd"}, Aliases: []string{"image/x-psd", "application/photoshop"}},
	{Type: "image/x-xcf", Extensions: []string{"xcf"}},
	{Type: "image/vnd.djvu", Extensions: []string{"djvu", "djv"}},
	{Type: "image/vnd.radiance", Extensions: []string{"hdr"}},
	// Video.
	{Type: "video/mp4", Extensions: []string{"mp4", "m4v", "mp4v"}, Aliases: []string{"application/mp4", "video/x-m4v"}},
	{Type: "video/x-m4v", Extensions: []string{"m4v", "mp4"}, Aliases: []string{"video/mp4"}},
	{Type: "video/quicktime", Extensions: []string{"mov", "qt"}},
	{Type: "video/webm", Extensions: []string{"webm"}, Aliases: []string{"audio/webm"}},
	{Type: "video/x-matroska", Extensions: []string{"mkv", "mk3d"}},
	{Type: "video/x-msvideo", Extensions: []string{"avi"}, Aliases: []string{"video/avi", "video/msvideo"}},
	{Type: "video/mpeg", Extensions: []string{"mpg", "mpeg", "mpe", "m2v", "vob"}},
	{Type: "video/mp2t", Extensions: []string{"mts", "m2ts", "m2t"}, Aliases: []string{"video/vnd.dlna.mpeg-tts"}},
	{Type: "video/ogg", Extensions: []string{"ogv", "ogg"}, Sniffed: []string{"application/ogg"}},
	{Type: "video/3gpp", Extensions: []string{"3gp", "3gpp"}},
	{Type: "video/3gpp2", Extensions: []string{"3g2", "3gpp2"}},
	{Type: "video/x-flv", Extensions: []string{"flv"}},
	{Type: "video/x-ms-wmv", Extensions: []string{"wmv"}, Sniffed: []string{"video/x-ms-asf"}},
	{Type: "video/x-ms-asf", Extensions: []string{"asf"}},
	// Audio.
	{Type: "audio/mpeg", Extensions: []string{"mp3", "mpga", "mp2"}, Aliases: []string{"audio/mp3", "audio/x-mp3", "audio/x-mpeg"}},
	{Type: "audio/mp4", Extensions: []string{"m4a", "mp4", "m4b", "f4a"}, Aliases: []string{"audio/x-m4a", "audio/m4a"}, Sniffed: []string{"audio/x-m4a"}},
	{Type: "audio/aac", Extensions: []string{"aac"}, Aliases: []string{"audio/x-aac", "audio/aacp"}},
	{Type: "audio/wav", Extensions: []string{"wav", "wave"}, Aliases: []string{"audio/x-wav", "audio/wave", "audio/vnd.wave"}},
	{Type: "audio/flac", Extensions: []string{"flac"}, Aliases: []string{"audio/x-flac"}},
	{Type: "audio/ogg", Extensions: []string{"ogg", "oga", "spx", "opus"}, Aliases: []string{"audio/opus", "audio/vorbis"}, Sniffed: []string{"application/ogg"}},
	{Type: "audio/x-matroska", Extensions: []string{"mka"}, Sniffed: []string{"video/x-matroska"}},
	{Type: "audio/x-ms-wma", Extensions: []string{"wma"}, Sniffed: []string{"video/x-ms-asf"}},
	{Type: "audio/aiff", Extensions: []string{"aif", "aiff", "aifc"}, Aliases: []string{"audio/x-aiff"}},
	{Type: "audio/amr", Extensions: []string{"amr"}, Aliases: []string{"audio/amr-nb"}},
	{Type: "audio/midi", Extensions: []string{"mid", "midi"}, Aliases: []string{"audio/mid", "audio/x-midi"}},
	{Type: "audio/basic", Extensions: []string{"au", "snd"}},
	{Type: "audio/ape", Extensions: []string{"ape"}, Aliases: []string{"audio/x-ape"}},
	{Type: "audio/musepack", Extensions: []string{"mpc"}, Aliases: []string{"audio/x-musepack"}},
	// Documents.
	{Type: "application/pdf", Extensions: []string{"pdf"}, Aliases: []string{"application/x-pdf"}},
	{Type: "application/msword", Extensions: []string{"doc", "dot"}, Aliases: []string{"application/vnd.ms-word"}},
	{Type: "application/vnd.ms-excel", Extensions: []string{"xls", "xlt"}, Aliases: []string{"application/msexcel"}},
	{Type: "application/vnd.ms-powerpoint", Extensions: []string{"ppt", "pps", "pot"}, Aliases: []string{"application/mspowerpoint"}},
	{Type: "application/vnd.openxmlformats-officedocument.wordprocessingml.document", Extensions: []string{"docx"}},
	{Type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Extensions: []string{"xlsx"}},
	{Type: "application/vnd.openxmlformats-officedocument.presentationml.presentation", Extensions: []string{"pptx", "ppsx"}},
	{Type: "application/vnd.oasis.opendocument.text", Extensions: []string{"odt"}},
	{Type: "application/vnd.oasis.opendocument.spreadsheet", Extensions: []string{"ods"}},
	{Type: "application/vnd.oasis.opendocument.presentation", Extensions: []string{"odp"}},
	{Type: "application/vnd.oasis.opendocument.graphics", Extensions: []string{"odg"}},
	{Type: "application/epub+zip", Extensions: []string{"epub"}},
	{Type: "text/rtf", Extensions: []string{"rtf"}, Aliases: []string{"application/rtf"}},
	{Type: "text/plain", Extensions: []string{"txt", "text", "log"}},
	{Type: "text/csv", Extensions: []string{"csv"}, Aliases: []string{"application/csv", "text/plain", "application/vnd.ms-excel"}, Sniffed: []string{"text/plain"}},
	{Type: "text/tab-separated-values", Extensions: []string{"tsv", "tab"}, Aliases: []string{"text/plain"}, Sniffed: []string{"text/plain"}},
	{Type: "text/markdown", Extensions: []string{"md", "markdown"}, Aliases: []string{"text/x-markdown", "text/plain"}, Sniffed: []string{"text/plain"}},
}

// Formats answers the whitelist.
func Formats() []Format { return slices.Clone(formats) }

// Canonical is a MIME type in lower case without its parameters; "" for a type that says nothing: none, or octet-stream.
func Canonical(mime string) string {
	mime, _, _ = strings.Cut(mime, ";")
	mime = strings.ToLower(strings.TrimSpace(mime))
	if mime == "application/octet-stream" || mime == "binary/octet-stream" {
		return ""
	}
	return mime
}

// Judge answers the type of content: what the sniffer saw decides, and the extension and the declared type must agree with
// it where they say something; among types that look the same to the sniffer they choose.
func Judge(name, declared, sniffed string, p Policy) (string, error) {
	sniffed = Canonical(sniffed)
	fits := candidates(name, declared, p, func(f Format) bool {
		return f.Type == sniffed || slices.Contains(f.Sniffed, sniffed) || slices.Contains(f.Aliases, sniffed) && exact(sniffed) == nil
	})
	if len(fits) == 0 {
		return "", ErrType.Because(detail(name, declared, sniffed, p))
	}
	for _, f := range fits {
		if f.Type == sniffed {
			return f.Type, nil
		}
	}
	return fits[0].Type, nil
}

// Plausible refuses before any byte came what Judge will refuse whatever comes.
func Plausible(name, declared string, p Policy) error {
	if len(declared) > maxDeclared || strings.ContainsFunc(declared, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ErrType.On("content_type").Because("the declared type is not a MIME type")
	}
	if len(candidates(name, declared, p, func(Format) bool { return true })) == 0 {
		return ErrType.Because("no accepted type has this extension and this declared type; accepted are " + p.accepted())
	}
	return nil
}

// candidates are the accepted formats that look right, and with which the extension and the declared type agree.
func candidates(name, declared string, p Policy, looks func(Format) bool) []Format {
	ext, said := extension(name), Canonical(declared)
	var fits []Format
	for _, f := range formats {
		switch {
		case len(p.Accepted) > 0 && !slices.Contains(p.Accepted, f.Type):
		case ext != "" && !slices.Contains(f.Extensions, ext):
		case said != "" && said != f.Type && !slices.Contains(f.Aliases, said):
		case looks(f):
			fits = append(fits, f)
		}
	}
	return fits
}

// exact is the format of exactly this type, or nil.
func exact(mime string) *Format {
	for i := range formats {
		if formats[i].Type == mime {
			return &formats[i]
		}
	}
	return nil
}

// detail says why no format fits. Of the name and the declared type it repeats only what formats say: the rest is the uploader's text.
func detail(name, declared, sniffed string, p Policy) string {
	if exact(sniffed) == nil || len(p.Accepted) > 0 && !slices.Contains(p.Accepted, sniffed) {
		return "the content is of a type that is not accepted; accepted are " + p.accepted()
	}
	said := "the content is " + sniffed
	var types []string
	for _, f := range candidates(name, "", p, func(Format) bool { return true }) {
		types = append(types, f.Type)
	}
	if len(types) > 0 && extension(name) != "" {
		said += ", its extension says " + strings.Join(types, " or ")
	}
	if f := exact(Canonical(declared)); f != nil {
		said += ", its declared type is " + f.Type
	}
	return said
}

// accepted are the extensions of the types that are accepted, as a sentence names them.
func (p Policy) accepted() string {
	var all []string
	for _, f := range formats {
		if len(p.Accepted) == 0 || slices.Contains(p.Accepted, f.Type) {
			all = append(all, f.Extensions...)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}
