// Package readmetest runs the examples of the README and of the pages in docs.
package readmetest
