package detect

import "bytes"

// europeanChecks are the checks of identifiers issued by European countries.
func europeanChecks() map[string]check {
	return map[string]check{
		"es-nif": esNIF, "it-fiscal-code": itFiscalCode, "pl-pesel": plPESEL, "fi-hetu": fiHETU, "gb-nhs": gbNHS, "gb-nino": gbNINO, "gb-driving-licence": gbDrivingLicence,
		"fr-nir": frNIR, "de-tax-id": deTaxID, "de-social-security": deSocialSecurity, "de-document": deDocument, "nl-bsn": nlBSN, "se-personal-number": sePersonalNumber,
		"ch-ahv": chAHV, "be-national-number": beNationalNumber, "pt-nif": ptNIF, "bg-egn": bgEGN, "ro-cnp": roCNP, "cz-birth-number": czBirthNumber, "dk-cpr": dkCPR,
		"no-birth-number": noBirthNumber, "ie-pps": iePPS, "gr-amka": grAMKA, "ee-personal-code": eePersonalCode, "ru-inn": ruINN, "ru-snils": ruSNILS, "at-social-security": atSocialSecurity,
	}
}

func esNIF(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) != 9 {
		return false
	}
	n := 0
	for i, c := range l[:8] {
		switch {
		case i == 0 && c >= 'X' && c <= 'Z':
			n = int(c - 'X')
		case classOf[c] == digit:
			n = n*10 + int(c-'0')
		default:
			return false
		}
	}
	return l[8] == "TRWAGMYFPDXBNJZSQVHLCKE"[n%23]
}

func itFiscalCode(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) != 16 {
		return false
	}
	const odd = "BAKPLCQDREVOSFTGUHMINJWZYX" // in an odd place, a letter's value is its position here
	sum := 0
	for i, c := range l[:15] {
		if classOf[c] == digit {
			c = 'A' + c - '0'
		}
		if i%2 == 0 {
			sum += bytes.IndexByte([]byte(odd), c)
		} else {
			sum += int(c - 'A')
		}
	}
	return bytes.IndexByte([]byte("ABCDEHLMPRST"), l[8]) >= 0 && l[15] == byte('A'+sum%26)
}

func plPESEL(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 11 && dated(twoOf(d, 2)%20, twoOf(d, 4)) && weightedSum(d, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)%10 == 0
}

func fiHETU(b []byte) bool {
	if len(b) != 11 {
		return false
	}
	d, ok := numbersOf(new(room), append(append(new(room)[:0], b[:6]...), b[7:10]...))
	return ok && len(d) == 9 && dated(twoOf(d, 2), twoOf(d, 0)) && number(d[6:]) >= 2 && b[10] == "0123456789ABCDEFHJKLMNPRSTUVWXY"[number(d)%31]
}

func gbNHS(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 10 && !plain(d) && (11-weightedSum(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)%11)%11 == int(d[9])
}

func gbNINO(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) != 9 || bytes.IndexByte([]byte("DFIQUV"), l[0]) >= 0 || bytes.IndexByte([]byte("DFIQUVO"), l[1]) >= 0 {
		return false
	}
	switch string(l[:2]) {
	case "BG", "GB", "KN", "NK", "NT", "TN", "ZZ":
		return false
	}
	return true
}

// gbDrivingLicence checks the date of birth in a driver number. For women, 50 is added to the
// month.
func gbDrivingLicence(b []byte) bool {
	if len(b) < 11 {
		return false
	}
	d, ok := numbersOf(new(room), b[5:11])
	if !ok || len(d) != 6 {
		return false
	}
	month := twoOf(d, 1)
	if month > 50 {
		month -= 50
	}
	return dated(month, twoOf(d, 3))
}

func frNIR(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) != 15 {
		return false
	}
	n, shift := 0, 0
	for i, c := range l {
		switch {
		case i == 6 && c == 'A':
			c, shift = '0', 1_000_000 // Corsica
		case i == 6 && c == 'B':
			c, shift = '0', 2_000_000
		case classOf[c] != digit:
			return false
		}
		if i < 13 {
			n = n*10 + int(c-'0')
		}
	}
	month := int(l[3]-'0')*10 + int(l[4]-'0')
	return (month >= 1 && month <= 12 || month >= 20 && month <= 42 || month >= 50) && 97-(n-shift)%97 == int(l[13]-'0')*10+int(l[14]-'0')
}

// deTaxID checks a Steuer-ID: one of its first ten digits occurs two or three times.
func deTaxID(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 11 || d[0] == 0 {
		return false
	}
	var times [10]int
	for _, n := range d[:10] {
		times[n]++
	}
	repeated := 0
	for _, n := range times {
		if n > 3 {
			return false
		}
		if n > 1 {
			repeated++
		}
	}
	return repeated == 1 && iso11and10(d)
}

func deSocialSecurity(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) != 12 || classOf[l[8]] != upper {
		return false
	}
	letter := l[8] - 'A' + 1
	d := new(room)[:0]
	for i, c := range l {
		switch {
		case i == 8:
			d = append(d, letter/10, letter%10)
		case classOf[c] == digit:
			d = append(d, c-'0')
		default:
			return false
		}
	}
	sum := 0
	for i, w := range [12]int{2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1} {
		p := w * int(d[i])
		sum += p/10 + p%10
	}
	return dated(twoOf(d, 4), twoOf(d, 2)) && sum%10 == int(d[12])
}

// deDocument checks numbers of identity cards and passports: nine characters and a check digit
// by the weights 7, 3, 1.
func deDocument(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) != 10 {
		return false
	}
	sum, digits := 0, 0
	for i, c := range l[:9] {
		v := int(c-'A') + 10
		if classOf[c] == digit {
			v = int(c - '0')
			digits++
		}
		sum += v * [3]int{7, 3, 1}[i%3]
	}
	return digits > 1 && sum%10 == int(l[9]-'0')
}

func nlBSN(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 9 && !plain(d) && weightedSum(d, 9, 8, 7, 6, 5, 4, 3, 2, -1)%11 == 0
}

func sePersonalNumber(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if ok && len(d) == 12 {
		if century := twoOf(d, 0); century < 18 || century > 20 {
			return false
		}
		d = d[2:]
	}
	if !ok || len(d) != 10 {
		return false
	}
	day := twoOf(d, 4)
	if day > 60 {
		day -= 60 // a coordination number
	}
	return dated(twoOf(d, 2), day) && luhn(d)
}

func chAHV(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 13 && number(d[:3]) == 756 && weightedSum(d, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)%10 == 0
}

// beNationalNumber checks numbers of the national register. For people born since 2000, the
// check puts a 2 before the digits. In bis numbers, 20 or 40 is added to the month.
func beNationalNumber(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 11 {
		return false
	}
	month, n, sum := twoOf(d, 2)%20, number(d[:9]), twoOf(d, 9)
	return (month == 0 || dated(month, max(1, twoOf(d, 4)))) && n > 0 && (97-n%97 == sum || 97-(n+2_000_000_000)%97 == sum)
}

func ptNIF(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 9 || d[0] == 0 || d[0] == 4 {
		return false
	}
	rest := 11 - weightedSum(d, 9, 8, 7, 6, 5, 4, 3, 2)%11
	if rest >= 10 {
		rest = 0
	}
	return rest == int(d[8])
}

func bgEGN(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 10 && dated(twoOf(d, 2)%20, twoOf(d, 4)) && weightedSum(d, 2, 4, 8, 5, 10, 9, 7, 3, 6)%11%10 == int(d[9])
}

func roCNP(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 13 || d[0] == 0 || !dated(twoOf(d, 3), twoOf(d, 5)) {
		return false
	}
	rest := weightedSum(d, 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9) % 11
	if rest == 10 {
		rest = 1
	}
	return rest == int(d[12])
}

// czBirthNumber applies to Slovakia too. For women, 50 is added to the month, and 20 more if a
// day's numbers were used up.
func czBirthNumber(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 10 {
		return false
	}
	month := twoOf(d, 2) % 50
	if month > 20 {
		month -= 20
	}
	return dated(month, twoOf(d, 4)) && (number(d)%11 == 0 || number(d[:9])%11 == 10 && d[9] == 0)
}

// dkCPR checks the date only: there is no check digit since 2007.
func dkCPR(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 10 && dated(twoOf(d, 2), twoOf(d, 0))
}

func noBirthNumber(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 11 {
		return false
	}
	day := twoOf(d, 0) % 40 // in a D number, 40 is added to the day
	return dated(twoOf(d, 2)%40, day) && weightedSum(d, 3, 7, 6, 1, 8, 9, 4, 5, 2, 1)%11 == 0 && weightedSum(d, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0
}

func iePPS(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) < 8 || len(l) > 9 {
		return false
	}
	sum := 0
	for i, c := range l[:7] {
		if classOf[c] != digit {
			return false
		}
		sum += int(c-'0') * (8 - i)
	}
	if len(l) == 9 && l[8] != 'W' {
		sum += int(l[8]-'A'+1) * 9
	}
	return l[7] == "WABCDEFGHIJKLMNOPQRSTUV"[sum%23]
}

func grAMKA(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 11 && dated(twoOf(d, 2), twoOf(d, 0)) && luhn(d)
}

// eePersonalCode applies to Estonia and Lithuania.
func eePersonalCode(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 11 || d[0] == 0 || !dated(twoOf(d, 3), twoOf(d, 5)) {
		return false
	}
	rest := weightedSum(d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1) % 11
	if rest == 10 {
		rest = weightedSum(d, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3) % 11 % 10
	}
	return rest == int(d[10])
}

func ruINN(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 12 && !plain(d) && weightedSum(d, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)%11%10 == int(d[10]) &&
		weightedSum(d, 3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)%11%10 == int(d[11])
}

func ruSNILS(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 11 && number(d[:9]) > 1_001_998 && weightedSum(d, 9, 8, 7, 6, 5, 4, 3, 2, 1)%101%100 == twoOf(d, 9)
}

func atSocialSecurity(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 10 && d[0] != 0 && dated(twoOf(d, 6), twoOf(d, 4)) && weightedSum(d, 3, 7, 9, 0, 5, 8, 4, 2, 1, 6)%11 == int(d[3])
}
