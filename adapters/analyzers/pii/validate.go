package pii

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"
)

// validator says how many bytes of a match are the thing itself; false: it is no such thing.
type validator func(match string) (length int, ok bool)

// whole makes a validator of one that judges the whole match, without spaces, dashes and points, in upper case.
func whole(ok func(compacted string) bool) validator {
	return func(match string) (int, bool) { return len(match), ok(compact(match)) }
}

// validators are what `validate` in a file of patterns may name.
func validators() map[string]validator {
	return map[string]validator{
		"ssn": whole(ssn), "card": whole(card), "luhn": whole(luhn), "iban": iban, "bic": whole(bic), "email": email, "phone": phone(),
		"phone_national": phoneNational(), "ipv4": ipv4, "ipv6": ipv6, "date": date, "mrz": mrz, "jwt": jwt, "entropy": entropy,
		"passport_de": whole(passportDE), "licence_uk": whole(licenceUK),
		"de_tax_id": whole(deTaxID), "fr_insee": whole(frINSEE), "uk_nino": whole(ukNINO), "nl_bsn": whole(nlBSN), "es_dni": whole(esDNI),
		"pl_pesel": whole(plPESEL), "it_cf": whole(itCodiceFiscale), "be_rrn": whole(beRRN), "se_pnr": whole(sePNR), "fi_hetu": fiHETU,
		"no_fnr": whole(noFNR), "pt_nif": whole(ptNIF), "br_cpf": whole(brCPF), "ca_sin": whole(caSIN), "in_aadhaar": whole(inAadhaar),
		"cn_rid": whole(cnRID), "ch_ahv": whole(chAHV), "at_svnr": whole(atSVNR), "au_tfn": whole(auTFN),
	}
}

// digitsOf is the text's digits as numbers; false when there is something else in it, or all are the same.
func digitsOf(s string, n int) ([]int, bool) {
	if len(s) != n {
		return nil, false
	}
	d := make([]int, n)
	same := true
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return nil, false
		}
		d[i] = int(s[i] - '0')
		same = same && d[i] == d[0]
	}
	return d, !same
}

// weighed is the sum of digits times weights.
func weighed(d []int, weights ...int) int {
	sum := 0
	for i, w := range weights {
		sum += d[i] * w
	}
	return sum
}

// number reads digits that are known to be some.
func number(s string) int {
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

func ssn(s string) bool { // ssa.gov: numbers that are never given
	if _, ok := digitsOf(s, 9); !ok {
		return false
	}
	area := s[:3]
	return area != "000" && area != "666" && area[0] != '9' && s[3:5] != "00" && s[5:] != "0000" && s != "123456789" && s != "078051120" && s != "219099999"
}

func luhn(s string) bool { // ISO/IEC 7812-1
	if len(s) < 2 {
		return false
	}
	sum := 0
	for i := range len(s) {
		d := int(s[len(s)-1-i]) - '0'
		if d < 0 || d > 9 {
			return false
		}
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// card is Luhn, and a brand's prefix and length.
func card(s string) bool {
	if len(s) < 12 || len(s) > 19 || strings.Trim(s, s[:1]) == "" || !luhn(s) {
		return false
	}
	two, three, four, n := number(s[:2]), number(s[:3]), number(s[:4]), len(s)
	switch {
	case s[0] == '4': // Visa
		return n == 13 || n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720: // Mastercard
		return n == 16
	case two == 34, two == 37: // American Express
		return n == 15
	case three >= 300 && three <= 305, two == 36, two == 38, two == 39: // Diners Club
		return n == 14 || n == 16 || n == 19
	case four >= 3528 && four <= 3589: // JCB
		return n >= 16
	case four == 6011, three >= 644 && three <= 649, two == 65, two == 62: // Discover, UnionPay
		return n >= 16
	case four == 5018, four == 5020, four == 5038, four == 5893, four == 6304, four == 6759, four >= 6761 && four <= 6763: // Maestro
		return true
	default:
		return false
	}
}

// iban takes as much of the match as the country's length is (SWIFT's IBAN registry), and checks ISO 7064 mod 97-10.
func iban(match string) (int, bool) {
	var compacted strings.Builder
	length, want := 0, 0
	for i := range len(match) {
		c := match[i]
		if c == ' ' || c == '-' || c == '.' {
			continue
		}
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		compacted.WriteByte(c)
		if compacted.Len() == 2 {
			if want = ibanLength(compacted.String()); want == 0 {
				return 0, false
			}
		}
		if want > 0 && compacted.Len() == want {
			length = i + 1
			break
		}
	}
	s := compacted.String()
	if length == 0 {
		return 0, false
	}
	rest := 0
	for _, c := range []byte(s[4:] + s[:4]) {
		switch {
		case c >= '0' && c <= '9':
			rest = (rest*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z':
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return 0, false
		}
	}
	return length, rest == 1
}

func ibanLength(country string) int {
	const lengths = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 " +
		"FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 " +
		"MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 " +
		"TN24 TR26 UA29 VA22 VG24 XK20 YE30"
	if i := strings.Index(lengths, country); i >= 0 && i%5 == 0 {
		return number(lengths[i+2 : i+4])
	}
	return 0
}

func bic(s string) bool { // ISO 9362: the fifth and sixth character are a country
	const countries = "AD AE AF AG AI AL AM AO AR AT AU AW AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW BY BZ CA CD CF CG CH CI CL CM CN CO CR CU CV " +
		"CW CY CZ DE DJ DK DM DO DZ EC EE EG ES ET FI FJ FK FO FR GA GB GD GE GG GH GI GL GM GN GQ GR GT GW GY HK HN HR HT HU ID IE IL IM IN IQ IR IS IT " +
		"JE JM JO JP KE KG KH KM KN KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MK ML MM MN MO MR MT MU MV MW MX MY MZ NA NE NG NI NL NO " +
		"NP NR NZ OM PA PE PG PH PK PL PS PT PY QA RO RS RU RW SA SB SC SD SE SG SI SK SL SM SN SO SR SS ST SV SY SZ TC TD TG TH TJ TL TM TN TO TR TT TV " +
		"TW TZ UA UG US UY UZ VA VC VE VG VN VU WS XK YE ZA ZM ZW"
	i := strings.Index(countries, s[4:6])
	return i >= 0 && i%3 == 0
}

func email(match string) (int, bool) {
	at := strings.LastIndexByte(match, '@')
	local, domain := match[:at], strings.ToLower(match[at+1:])
	if local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") || strings.Contains(domain, "-.") || strings.Contains(domain, ".-") {
		return 0, false
	}
	switch domain[strings.LastIndexByte(domain, '.')+1:] {
	case "png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "heic", "pdf", "mp4", "zip", "js", "css", "html", "json", "yaml", "local", "localhost": // logo@2x.png
		return 0, false
	}
	return len(match), true
}

// regions are where a number without a country's code may be from.
func regions() []string {
	return []string{"US", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "BE", "AT", "CH", "SE", "PT", "BR", "IN", "AU"}
}

func phone() validator {
	return func(match string) (int, bool) {
		text := match
		if strings.HasPrefix(text, "00") {
			text = "+" + text[2:]
		}
		n, err := phonenumbers.Parse(text, "ZZ")
		return len(match), err == nil && phonenumbers.IsValidNumber(n)
	}
}

func phoneNational() validator {
	return func(match string) (int, bool) {
		if c := compact(match); strings.Trim(c, c[:1]) == "" {
			return 0, false
		}
		if _, day := date(strings.TrimSpace(match)); day { // 2025-06-30
			return 0, false
		}
		for _, region := range regions() {
			if n, err := phonenumbers.Parse(match, region); err == nil && phonenumbers.IsValidNumberForRegion(n, region) {
				return len(match), true
			}
		}
		return 0, false
	}
}

// ipv4 is an address that can be somebody's: not one of a private net, of the machine itself or of many.
func ipv4(match string) (int, bool) {
	a, err := netip.ParseAddr(match)
	return len(match), err == nil && !reserved(a) && a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && a.As4()[0] != 0
}

func ipv6(match string) (int, bool) {
	match = strings.TrimRight(match, ".")
	if strings.Count(match, ":") < 3 || !strings.ContainsAny(match, "0123456789") {
		return 0, false
	}
	a, err := netip.ParseAddr(match)
	return len(match), err == nil && !reserved(a)
}

func reserved(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsUnspecified()
}

// date is a day in the life of somebody who may be alive: 1900 or later.
func date(match string) (int, bool) {
	text := strings.ToLower(strings.NewReplacer(",", " ", ".", " ", "/", " ", "-", " ").Replace(match))
	fields := strings.Fields(text)
	if len(fields) == 4 || len(fields) == 5 { // 3 de mayo de 1984, 3rd of May 1984
		kept := fields[:0]
		for _, f := range fields {
			if f != "de" && f != "of" {
				kept = append(kept, f)
			}
		}
		fields = kept
	}
	if len(fields) != 3 {
		return 0, false
	}
	for _, order := range [][3]int{{0, 1, 2}, {2, 1, 0}, {2, 0, 1}} { // year, month, day
		year, month, day := fields[order[0]], fields[order[1]], fields[order[2]]
		m := monthOf(month)
		day = strings.TrimRight(day, "dehnrst") // 3rd, 1er
		if len(year) != 4 || m == 0 || len(day) == 0 || len(day) > 2 || strings.Trim(year+day, "0123456789") != "" {
			continue
		}
		if realDate(number(year), m, number(day)) {
			return len(match), true
		}
	}
	return 0, false
}

func realDate(year, month, day int) bool {
	if year < 1900 || year > 2099 || month < 1 || month > 12 || day < 1 || day > 31 {
		return false
	}
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Day() == day
}

func monthOf(s string) int {
	if len(s) <= 2 {
		if strings.Trim(s, "0123456789") != "" {
			return 0
		}
		return number(s)
	}
	months := [12]string{
		"jan ene gen sty", "feb fév fev lut", "mar mär mrt mrz", "apr avr abr kwi", "may mai mag mei maj", "jun jui giu cze",
		"jul lug lip", "aug aoû aou ago sie", "sep set wrz", "oct okt ott paź", "nov lis", "dec déc dez dic gru",
	}
	if strings.HasPrefix(s, "juil") {
		return 7
	}
	for i, names := range months {
		for name := range strings.FieldsSeq(names) {
			if strings.HasPrefix(s, name) {
				return i + 1
			}
		}
	}
	return 0
}

// mrz is the two lines of a passport that machines read (ICAO 9303 part 4), with their check digits.
func mrz(match string) (int, bool) {
	lines := strings.Fields(match)
	if len(lines) != 2 || len(lines[0]) != 44 || len(lines[1]) != 44 {
		return 0, false
	}
	l := lines[1]
	return len(match), icao(l[0:9]) == l[9] && icao(l[13:19]) == l[19] && icao(l[21:27]) == l[27]
}

// icao is the check digit of ICAO 9303.
func icao(s string) byte {
	weights, sum := [3]int{7, 3, 1}, 0
	for i := range len(s) {
		v := 0
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			v = int(c - '0')
		case c >= 'A' && c <= 'Z':
			v = int(c-'A') + 10
		case c != '<':
			return 0
		}
		sum += v * weights[i%3]
	}
	return byte('0' + sum%10)
}

// passportDE is a German serial number, with its check digit when it is written.
func passportDE(s string) bool {
	return strings.ContainsAny(s, "0123456789") && (len(s) == 9 || len(s) == 10 && icao(s[:9]) == s[9])
}

// licenceUK holds a date of birth: decade, month (plus 50 for women), day, year.
func licenceUK(s string) bool {
	month, day := number(s[6:8]), number(s[8:10])
	if month > 50 {
		month -= 50
	}
	return month >= 1 && month <= 12 && day >= 1 && day <= 31
}

// jwt is a JSON web token: its header is JSON and names an algorithm.
func jwt(match string) (int, bool) {
	head, err := base64.RawURLEncoding.DecodeString(match[:strings.IndexByte(match, '.')])
	var h struct {
		Alg string `json:"alg"`
	}
	return len(match), err == nil && json.Unmarshal(head, &h) == nil && h.Alg != ""
}

// entropy is a text that nobody would write by hand: at least 3 bits in each character, letters and digits mixed.
func entropy(match string) (int, bool) {
	value := match
	if i := strings.LastIndexAny(match, "=: \"'"); i >= 0 {
		value = match[i+1:]
	}
	if !strings.ContainsAny(value, "0123456789") || !strings.ContainsAny(strings.ToLower(value), "abcdefghijklmnopqrstuvwxyz") {
		return 0, false
	}
	var counts [256]float64
	for i := range len(value) {
		counts[value[i]]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			p := n / float64(len(value))
			bits -= p * math.Log2(p)
		}
	}
	return len(match), bits >= 3
}
