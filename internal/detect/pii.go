package detect

// personal returns the detectors of the group pii.
func personal() []detector {
	all := []detector{
		{
			Info: Info{Name: "email",
				Finds:       "E-mail addresses: up to 64 letters (of any script), digits and `._%+~!$-`, then `@`, and a host name of two or more labels whose last has letters alone, of any script or as `xn--` writes it.",
				Example:     "a.jansen@example.com",
				DoesNotFind: "Hosts without a dot (`root@localhost`), quoted and other unusual local parts (of `o'brien@example.com` what is behind the quote), `@name` alone, `name (at) host`. `git@github.com` has the form of an address, and is found.",
			},
			anchors: []anchor{email()},
		},
		{
			Info: Info{Name: "ip-address",
				Finds:       "IPv4 addresses in dotted decimals, and IPv6 addresses that are global (`2000::/3`), local to a site or a link (`fc00::/7`, `fe80::/10`).",
				Example:     "2001:db8::8a2e:370:7334",
				DoesNotFind: "Loopback, unspecified and broadcast addresses; four numbers that are a version (behind a letter, `name/`, `-`, `_` or the word version, or before `-` or `_`); five and more; leading zeros; MAC addresses, times.",
			},
			anchors: []anchor{ipv4(), ipv6()},
		},
		{
			Info: Info{Name: "phone-number",
				Finds:       "`+`, a country's code and 8 to 15 digits in all, with spaces, dots, dashes or brackets between them; North American numbers as `(212) 555-0123`, `212-555-0123` and `212.555.0123`.",
				Example:     "+49 30 901820",
				DoesNotFind: "National numbers of other countries, `0049...`, digits without any sign that they are a number to call; extensions.",
			},
			anchors: phone(),
		},
		{
			Info: Info{Name: "card-number",
				Finds:       "13 to 19 digits with the first digits and a length of Visa, Mastercard, American Express, Discover, Diners Club, JCB, UnionPay or Maestro, whose Luhn check is right; in one piece, or in the groups in which they are printed, with spaces or dashes.",
				Example:     "4111 1111 1111 1111",
				DoesNotFind: "Other groups, digits within a longer word or number, a number with a wrong check digit, expiry dates and security codes.",
			},
			anchors: card(),
		},
		{
			Info: Info{Name: "iban",
				Finds:       "A country's two capitals, two check digits and as many characters as that country has, right modulo 97; in one piece or in groups of four, with spaces or dashes.",
				Example:     "DE89 3704 0044 0532 0130 00",
				DoesNotFind: "Lower case, countries outside the register, a number with wrong check digits, national account numbers.",
			},
			anchors: []anchor{iban()},
		},
	}
	for i := range all {
		all[i].Groups = []string{"pii"}
	}
	return all
}
