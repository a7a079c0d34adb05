// Package examples has guests in several languages, each in a folder of its own; the tests here run them.
package examples
