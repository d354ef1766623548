package pii

import "strings"

// The numbers that states give to people, each with the check that its state defined.

func deTaxID(s string) bool { // ISO 7064 mod 11,10; one digit of the first ten stands two or three times
	d, ok := digitsOf(s, 11)
	if !ok || d[0] == 0 {
		return false
	}
	var counts [10]int
	product := 10
	for _, digit := range d[:10] {
		counts[digit]++
		sum := (digit + product) % 10
		if sum == 0 {
			sum = 10
		}
		product = sum * 2 % 11
	}
	repeated := 0
	for _, n := range counts {
		if n > 3 {
			return false
		}
		if n > 1 {
			repeated++
		}
	}
	return repeated == 1 && (11-product)%10 == d[10]
}

func frINSEE(s string) bool { // 13 digits and a key: 97 less their rest; Corsica is 2A and 2B
	if len(s) != 15 {
		return false
	}
	body, less := s[:13], 0
	switch s[5:7] {
	case "2A":
		body, less = s[:5]+"19"+s[7:13], 0
	case "2B":
		body, less = s[:5]+"18"+s[7:13], 0
	}
	if _, ok := digitsOf(body, 13); !ok || strings.Trim(s[13:], "0123456789") != "" {
		return false
	}
	month := number(s[3:5])
	if s[0] != '1' && s[0] != '2' || month < 1 || month > 12 && month < 20 {
		return false
	}
	return 97-(number(body)-less)%97 == number(s[13:])
}

func ukNINO(s string) bool { // HMRC NIM39110
	if len(s) != 9 {
		return false
	}
	prefix := s[:2]
	for _, never := range []string{"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"} {
		if prefix == never {
			return false
		}
	}
	return !strings.ContainsAny(prefix, "DFIQUV") && prefix[1] != 'O' && s[8] >= 'A' && s[8] <= 'D' && strings.Trim(s[2:8], "0123456789") == ""
}

func nlBSN(s string) bool { // the eleven test
	d, ok := digitsOf(s, 9)
	return ok && weighed(d, 9, 8, 7, 6, 5, 4, 3, 2, -1)%11 == 0
}

func esDNI(s string) bool { // a letter by the rest of 23; foreigners' numbers begin with X, Y or Z
	if len(s) != 9 {
		return false
	}
	body := s[:8]
	if i := strings.IndexByte("XYZ", body[0]); i >= 0 {
		body = string(rune('0'+i)) + body[1:]
	}
	_, ok := digitsOf(body, 8)
	return ok && "TRWAGMYFPDXBNJZSQVHLCKE"[number(body)%23] == s[8]
}

func plPESEL(s string) bool {
	d, ok := digitsOf(s, 11)
	if !ok {
		return false
	}
	month := number(s[2:4])
	year := number(s[:2]) + 1900
	switch month / 20 {
	case 1:
		year += 100
	case 2, 3:
		return false // not born yet
	case 4:
		year -= 100
	}
	if year < 1900 || !realDate(year, month%20, number(s[4:6])) {
		return false
	}
	return (10-weighed(d, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3)%10)%10 == d[10]
}

func itCodiceFiscale(s string) bool { // D.M. 23/12/1976
	if len(s) != 16 {
		return false
	}
	odd := [26]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}
	sum := 0
	for i := range 15 {
		v := 0
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			v = int(c - '0')
		case c >= 'A' && c <= 'Z':
			v = int(c - 'A')
		default:
			return false
		}
		if i%2 == 0 {
			v = odd[v]
		}
		sum += v
	}
	return byte('A'+sum%26) == s[15]
}

func beRRN(s string) bool { // 97 less the rest; from 2000 on with a 2 before it
	if _, ok := digitsOf(s, 11); !ok {
		return false
	}
	month, day := number(s[2:4])%20, number(s[4:6])
	if month > 12 || day > 31 {
		return false
	}
	body, check := number(s[:9]), number(s[9:])
	return 97-body%97 == check || 97-(2_000_000_000+body)%97 == check
}

func sePNR(s string) bool { // Luhn over the ten digits; 60 is added to the day of a coordination number
	s = strings.ReplaceAll(s, "+", "")
	if len(s) == 12 {
		s = s[2:]
	}
	if _, ok := digitsOf(s, 10); !ok || !luhn(s) {
		return false
	}
	month, day := number(s[2:4]), number(s[4:6])
	if day > 60 {
		day -= 60
	}
	return month >= 1 && month <= 12 && day >= 1 && day <= 31
}

// fiHETU keeps its separator, which says the century.
func fiHETU(match string) (int, bool) {
	s := strings.ToUpper(match)
	if len(s) != 11 || strings.Trim(s[:6]+s[7:10], "0123456789") != "" {
		return 0, false
	}
	day, month := number(s[:2]), number(s[2:4])
	ok := day >= 1 && day <= 31 && month >= 1 && month <= 12
	return len(match), ok && "0123456789ABCDEFHJKLMNPRSTUVWXY"[number(s[:6]+s[7:10])%31] == s[10]
}

func noFNR(s string) bool { // two check digits by 11
	d, ok := digitsOf(s, 11)
	if !ok {
		return false
	}
	day, month := number(s[:2]), number(s[2:4])
	if day > 40 {
		day -= 40
	}
	return day >= 1 && day <= 31 && month >= 1 && month <= 12 &&
		weighed(d, 3, 7, 6, 1, 8, 9, 4, 5, 2, 1)%11 == 0 && weighed(d, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0
}

func ptNIF(s string) bool { // by 11; people's begin with 1, 2, 3 or 45
	d, ok := digitsOf(s, 9)
	if !ok || !strings.ContainsAny(s[:1], "123") && s[:2] != "45" {
		return false
	}
	check := 11 - weighed(d, 9, 8, 7, 6, 5, 4, 3, 2)%11
	if check > 9 {
		check = 0
	}
	return check == d[8]
}

func brCPF(s string) bool { // two check digits by 11
	d, ok := digitsOf(s, 11)
	if !ok {
		return false
	}
	check := func(sum int) int {
		if r := sum % 11; r > 1 {
			return 11 - r
		}
		return 0
	}
	return check(weighed(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)) == d[9] && check(weighed(d, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) == d[10]
}

func caSIN(s string) bool { // Luhn; 0 and 8 are given to nobody
	_, ok := digitsOf(s, 9)
	return ok && s[0] != '8' && luhn(s)
}

func inAadhaar(s string) bool { // Verhoeff
	d, ok := digitsOf(s, 12)
	if !ok || d[0] < 2 {
		return false
	}
	permuted := [10]int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	check := 0
	for i := range d {
		digit := d[len(d)-1-i]
		for range i % 8 {
			digit = permuted[digit]
		}
		check = dihedral(check, digit)
	}
	return check == 0
}

// dihedral multiplies in the group of a pentagon's turns (0 to 4) and flips (5 to 9).
func dihedral(a, b int) int {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return (a+b-5)%5 + 5
	case b < 5:
		return (a-5-b+5)%5 + 5
	default:
		return (a - b + 5) % 5
	}
}

func cnRID(s string) bool { // ISO 7064 mod 11-2
	if len(s) != 18 {
		return false
	}
	d, ok := digitsOf(s[:17], 17)
	if !ok || !realDate(number(s[6:10]), number(s[10:12]), number(s[12:14])) {
		return false
	}
	return "10X98765432"[weighed(d, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)%11] == s[17]
}

func chAHV(s string) bool { // EAN-13 with Switzerland's 756
	d, ok := digitsOf(s, 13)
	return ok && s[:3] == "756" && (10-weighed(d, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3)%10)%10 == d[12]
}

func atSVNR(s string) bool { // the fourth digit is the check of the others
	d, ok := digitsOf(s, 10)
	if !ok || d[0] == 0 {
		return false
	}
	day, month := number(s[4:6]), number(s[6:8])
	return day >= 1 && day <= 31 && month >= 1 && month <= 12 && weighed(d, 3, 7, 9, 0, 5, 8, 4, 2, 1, 6)%11 == d[3]
}

func auTFN(s string) bool {
	d, ok := digitsOf(s, 9)
	return ok && weighed(d, 1, 4, 3, 7, 5, 8, 6, 9, 10)%11 == 0
}
