package detect

import "bytes"

// otherChecks are the checks of identifiers issued by countries outside Europe.
func otherChecks() map[string]check {
	return map[string]check{
		"in-aadhaar": inAadhaar, "au-abn": auABN, "au-acn": auACN, "au-tfn": auTFN, "au-medicare": auMedicare, "nz-ird": nzIRD, "sg-nric": sgNRIC, "kr-rrn": krRRN, "br-cpf": brCPF, "br-cnpj": brCNPJ,
		"mx-curp": mxCURP, "cn-resident-id": cnResidentID, "jp-my-number": jpMyNumber, "za-id": zaID, "tr-identity-number": trIdentityNumber, "ar-cuit": arCUIT, "cl-rut": clRUT,
		"il-identity-number": ilIdentityNumber, "th-identity-number": thIdentityNumber, "tw-identity-number": twIdentityNumber, "hk-identity-card": hkIdentityCard, "my-nric": myNRIC, "ca-sin": caSIN,
	}
}

func inAadhaar(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 12 || d[0] < 2 || plain(d) {
		return false
	}
	// Verhoeff's algorithm: the symmetries of a pentagon, and a permutation for each place.
	permutations := [8]string{"0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258"}
	state := 0
	for i := range d {
		state = dihedral(state, int(permutations[i%8][d[len(d)-1-i]]-'0'))
	}
	return state == 0
}

// dihedral returns the product of two symmetries of a pentagon.
func dihedral(a, b int) int {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return 5 + (a+b-5)%5
	case b < 5:
		return 5 + (a-b)%5
	}
	return (a - b + 5) % 5
}

func auABN(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 11 && d[0] > 0 && (weightedSum(d, 10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)-10)%89 == 0
}

func auACN(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 9 && !plain(d) && (10-weightedSum(d, 8, 7, 6, 5, 4, 3, 2, 1)%10)%10 == int(d[8])
}

func auTFN(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 9 && !plain(d) && weightedSum(d, 1, 4, 3, 7, 5, 8, 6, 9, 10)%11 == 0
}

func auMedicare(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && (len(d) == 10 || len(d) == 11) && d[0] >= 2 && d[0] <= 6 && weightedSum(d, 1, 3, 7, 9, 1, 3, 7, 9)%10 == int(d[8])
}

func nzIRD(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if ok && len(d) == 8 {
		d = append(append(new(room)[:0], 0), d...)
	}
	if !ok || len(d) != 9 || number(d) < 10_000_000 || number(d) > 150_000_000 {
		return false
	}
	rest := (11 - weightedSum(d, 3, 2, 7, 6, 5, 4, 3, 2)%11) % 11
	if rest == 10 {
		rest = (11 - weightedSum(d, 7, 4, 3, 2, 5, 2, 7, 6)%11) % 11
	}
	return rest == int(d[8])
}

func sgNRIC(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) != 9 {
		return false
	}
	d, ok := numbersOf(new(room), l)
	if !ok || len(d) != 7 {
		return false
	}
	sum := weightedSum(d, 2, 7, 6, 5, 4, 3, 2)
	switch l[0] {
	case 'S':
		return l[8] == "JZIHGFEDCBA"[sum%11]
	case 'T':
		return l[8] == "JZIHGFEDCBA"[(sum+4)%11]
	case 'F':
		return l[8] == "XWUTRQPNMLK"[sum%11]
	case 'G':
		return l[8] == "XWUTRQPNMLK"[(sum+4)%11]
	case 'M':
		return l[8] == "KLJNPQRTUWX"[(sum+3)%11]
	}
	return false
}

// krRRN checks the date and the digit of sex and century: numbers issued since October 2020
// have no check digit.
func krRRN(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 13 || d[6] == 0 || d[6] == 9 || !dated(twoOf(d, 2), twoOf(d, 4)) {
		return false
	}
	return bytes.IndexByte(b, '-') > 0 || (11-weightedSum(d, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)%11)%10 == int(d[12])
}

func brCPF(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 11 && !plain(d) && weightedSum(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)*10%11%10 == int(d[9]) && weightedSum(d, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)*10%11%10 == int(d[10])
}

// brCNPJ also accepts numbers with letters, which are issued since 2026.
func brCNPJ(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) != 14 {
		return false
	}
	for i := range l {
		l[i] -= '0' // letters continue at 17
	}
	of := func(sum int) int {
		if sum %= 11; sum < 2 {
			return 0
		}
		return 11 - sum
	}
	return !plain(l) && of(weightedSum(l, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) == int(l[12]) && of(weightedSum(l, 6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) == int(l[13])
}

func mxCURP(b []byte) bool {
	if len(b) != 18 {
		return false
	}
	if d, ok := numbersOf(new(room), b[4:10]); !ok || len(d) != 6 || !dated(twoOf(d, 2), twoOf(d, 4)) {
		return false
	}
	sum := 0
	for i, c := range b[:17] {
		v := int(c - '0')
		if c >= 'A' {
			if v = int(c-'A') + 10; c > 'N' {
				v++ // after the letter with a tilde
			}
		}
		sum += v * (18 - i)
	}
	return (10-sum%10)%10 == int(b[17]-'0')
}

func cnResidentID(b []byte) bool {
	if len(b) != 18 {
		return false
	}
	d, ok := numbersOf(new(room), b[:17])
	if !ok || len(d) != 17 {
		return false
	}
	century := twoOf(d, 6)
	last := fold(b[17])
	return (century == 19 || century == 20) && dated(twoOf(d, 10), twoOf(d, 12)) && last == "10x98765432"[weightedSum(d, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)%11]
}

func jpMyNumber(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 12 || plain(d) {
		return false
	}
	rest := weightedSum(d, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2) % 11
	if rest <= 1 {
		return d[11] == 0
	}
	return 11-rest == int(d[11])
}

func zaID(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 13 && dated(twoOf(d, 2), twoOf(d, 4)) && d[10] <= 1 && luhn(d)
}

func trIdentityNumber(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 11 || d[0] == 0 {
		return false
	}
	odd := int(d[0]) + int(d[2]) + int(d[4]) + int(d[6]) + int(d[8])
	even := int(d[1]) + int(d[3]) + int(d[5]) + int(d[7])
	return ((odd*7-even)%10+10)%10 == int(d[9]) && (odd+even+int(d[9]))%10 == int(d[10])
}

func arCUIT(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 11 {
		return false
	}
	switch twoOf(d, 0) {
	case 20, 23, 24, 25, 26, 27, 30, 33, 34:
		return (11-weightedSum(d, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11)%11 == int(d[10])
	}
	return false
}

func clRUT(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) < 8 || len(l) > 9 {
		return false
	}
	sum, weight := 0, 2
	for i := len(l) - 2; i >= 0; i-- {
		if classOf[l[i]] != digit {
			return false
		}
		sum += int(l[i]-'0') * weight
		if weight++; weight > 7 {
			weight = 2
		}
	}
	return l[len(l)-1] == "0123456789K"[(11-sum%11)%11]
}

func ilIdentityNumber(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 9 && !plain(d) && luhn(d)
}

func thIdentityNumber(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 13 && d[0] > 0 && (11-weightedSum(d, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)%11)%10 == int(d[12])
}

func twIdentityNumber(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) != 10 || classOf[l[0]] != upper {
		return false
	}
	d, ok := numbersOf(new(room), l)
	if !ok || len(d) != 9 {
		return false
	}
	area := bytes.IndexByte([]byte("ABCDEFGHJKLMNPQRSTUVXYWZIO"), l[0]) + 10
	return (area/10+area%10*9+weightedSum(d, 8, 7, 6, 5, 4, 3, 2, 1, 1))%10 == 0
}

func hkIdentityCard(b []byte) bool {
	l, ok := lettersOf(new(room), b)
	if !ok || len(l) < 8 || len(l) > 9 {
		return false
	}
	sum := 36 * 9 // for the space before a single letter
	if len(l) == 9 {
		sum = (int(l[0]-'A') + 10) * 9
		l = l[1:]
	}
	sum += (int(l[0]-'A') + 10) * 8
	for i, c := range l[1:7] {
		if classOf[c] != digit {
			return false
		}
		sum += int(c-'0') * (7 - i)
	}
	return l[7] == "0123456789A"[(11-sum%11)%11]
}

// myNRIC checks the date and the place of birth.
func myNRIC(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 12 || !dated(twoOf(d, 2), twoOf(d, 4)) {
		return false
	}
	switch place := twoOf(d, 6); {
	case place == 0, place >= 17 && place <= 20, place == 69, place == 70, place == 73, place == 80, place == 81, place >= 94 && place <= 97:
		return false
	}
	return true
}

func caSIN(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	return ok && len(d) == 9 && d[0] != 0 && d[0] != 8 && !plain(d) && luhn(d)
}
