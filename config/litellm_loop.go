package config

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// loops rejects an endpoint that is this relay itself. LiteLLM reads the key as the address
// that it sends to, and the relay as the address that it delivers to.
func (l *litellm) loops(n *node, path string) {
	u, err := url.Parse(n.text)
	if err != nil || u.Hostname() == "" {
		return // the sink reports what is wrong with it
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	own, listen, place := l.root.get("listen"), defaultListen, defaultListen+" (the default)"
	if own.given() {
		listen, place = own.text, own.show()+" (line "+strconv.Itoa(own.line)+")"
	}
	if host, ours, err := net.SplitHostPort(listen); err == nil && ours == port && sameHost(u.Hostname(), host, l.lookupHost) {
		l.report.add(n, path, loopText, place)
	}
}

const loopText = "it is this relay's own listener %s: LiteLLM takes s3_endpoint_url as the place to send events to, the relay as the place to deliver them to, and would deliver to itself; give the real bucket's endpoint here, and the relay's only in the file that LiteLLM runs with"

// sameHost reports whether host resolves to the listener's address.
func sameHost(host, listener string, lookup func(string) ([]string, error)) bool {
	if strings.EqualFold(host, listener) {
		return true
	}
	ours := addresses(listener, lookup)
	if listener == "" || slices.ContainsFunc(ours, net.IP.IsUnspecified) {
		ours = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
		if all, err := net.InterfaceAddrs(); err == nil {
			for _, a := range all {
				if n, ok := a.(*net.IPNet); ok {
					ours = append(ours, n.IP)
				}
			}
		}
	}
	return slices.ContainsFunc(addresses(host, lookup), func(a net.IP) bool {
		return a.IsUnspecified() || slices.ContainsFunc(ours, a.Equal)
	})
}

// addresses resolves a host; nil if that fails.
func addresses(host string, lookup func(string) ([]string, error)) []net.IP {
	if ip := net.ParseIP(host); ip != nil {
		return []net.IP{ip}
	}
	if host == "" {
		return nil
	}
	if Loopback(host) {
		return []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	texts, err := lookup(host)
	if err != nil {
		return nil
	}
	var ips []net.IP
	for _, text := range texts {
		if ip := net.ParseIP(text); ip != nil {
			ips = append(ips, ip)
		}
	}
	return ips
}

func lookupHost(host string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return net.DefaultResolver.LookupHost(ctx, host)
}
