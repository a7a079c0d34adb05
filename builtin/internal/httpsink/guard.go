package httpsink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// ErrInside is wrapped by the failure to connect to an internal address.
var ErrInside = errors.New("an internal address is not allowed")

// guard decides which addresses may be contacted. It checks the address of the actual
// connection, so neither a name nor a later answer of the resolver leads to an internal
// address.
type guard struct{ allowed []netip.Prefix }

func newGuard(networks []string) (guard, error) {
	var g guard
	for _, name := range networks {
		prefixes, err := network(name)
		if err != nil {
			return g, err
		}
		g.allowed = append(g.allowed, prefixes...)
	}
	return g, nil
}

// inside are networks without public destinations. Source: the IANA special-purpose address
// registries for IPv4 and IPv6, as of 2026.
var inside = func() (all []netip.Prefix) {
	for _, p := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/127", "64:ff9b:1::/48", "100::/64", "2001:2::/48", "2001:10::/28", "2001:db8::/32", "3fff::/20", "5f00::/16",
		"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
		"168.63.129.16/32", // Azure's platform service, which answers every machine there; Microsoft documents it
	} {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}()

// IPv6 networks whose addresses contain an IPv4 address.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	compatible = netip.MustParsePrefix("::/96")           // IPv4-compatible, deprecated
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765, obsolete and still routed by some translators
	sixToIV    = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32") // of the client, inverted
)

// check returns an error for a forbidden address.
func (g guard) check(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	if g.permits(ip) {
		return nil
	}
	for _, v4 := range embedded(ip) {
		if err := g.check(v4); err != nil {
			return err
		}
	}
	for _, p := range inside {
		if p.Contains(ip) {
			return fmt.Errorf("%w: %v: add its network to http.allow_networks, beside the URL (%s)", ErrInside, ip, suggestion(ip))
		}
	}
	return nil
}

func (g guard) permits(ip netip.Addr) bool {
	for _, p := range g.allowed {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// suggestion returns an entry of AllowNetworks that contains ip.
func suggestion(ip netip.Addr) string {
	switch {
	case ip.IsLoopback():
		return NetworkLoopback
	case ip.IsPrivate():
		return NetworkPrivate + ", or the smallest prefix that does"
	}
	p, _ := ip.Prefix(ip.BitLen())
	return p.String()
}

// embedded returns the IPv4 addresses to which a translated IPv6 address leads.
func embedded(ip netip.Addr) []netip.Addr {
	if !ip.Is6() {
		return nil
	}
	b := ip.As16()
	switch {
	case ip.IsLoopback(), ip.IsUnspecified(): // IPv6 itself, whatever its last bytes are
		return nil
	case nat64.Contains(ip), compatible.Contains(ip), translated.Contains(ip):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[12:16]))}
	case teredo.Contains(ip):
		return []netip.Addr{netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	case sixToIV.Contains(ip):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[2:6]))}
	}
	return nil
}

// dialer returns a function that connects to the addresses that the guard allows. trusted is
// the address of a proxy, which the operator configured and which may be internal.
func (g guard) dialer(trusted string) func(ctx context.Context, network, address string) (net.Conn, error) {
	open := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	guarded := *open
	guarded.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: the address is no IP address", ErrInside)
		}
		return g.check(at.Addr())
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if trusted != "" && address == trusted {
			return open.DialContext(ctx, network, address)
		}
		return guarded.DialContext(ctx, network, address)
	}
}
