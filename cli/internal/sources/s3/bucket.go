package s3

import (
	"encoding/xml"
	"net/http"
	"slices"
	"time"
)

// Requests about a bucket that clients make before they write to it. The bucket appears empty.

const xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"

// anyRegion is the region in responses if the configuration has none.
const anyRegion = "us-east-1"

// listQueries are the parameters of a listing.
var listQueries = []string{"list-type", "prefix", "delimiter", "max-keys", "marker", "start-after", "continuation-token", "encoding-type", "fetch-owner", "x-id"}

func (h *Handler) region() string {
	if h.verifier.region == "" {
		return anyRegion
	}
	return h.verifier.region
}

// serveService responds to a request for the list of buckets.
func (h *Handler) serveService(w http.ResponseWriter, r *request) *Error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return fail("MethodNotAllowed", "the specified method is not allowed against this resource")
	}
	type bucket struct {
		Name         string
		CreationDate string
	}
	var list struct {
		XMLName xml.Name `xml:"ListAllMyBucketsResult"`
		XMLNS   string   `xml:"xmlns,attr"`
		Owner   struct{ ID, DisplayName string }
		Buckets struct{ Bucket []bucket }
	}
	list.XMLNS = xmlns
	list.Owner.ID, list.Owner.DisplayName = "auditrelay", "auditrelay"
	for _, name := range h.names {
		list.Buckets.Bucket = append(list.Buckets.Bucket, bucket{name, time.Unix(0, 0).UTC().Format(time.RFC3339)})
	}
	r.operation = opBucket
	writeXML(w, r.Request, http.StatusOK, list)
	return nil
}

func (h *Handler) serveBucket(w http.ResponseWriter, r *request) *Error {
	w.Header().Set("X-Amz-Bucket-Region", h.region())
	query := r.signed.query
	switch r.Method {
	case http.MethodHead:
		w.WriteHeader(http.StatusOK)
		return nil
	case http.MethodPut:
		if len(query) > 0 {
			return fail("NotImplemented", "nothing of a bucket can be changed here")
		}
		if fault := h.discard(r.Request, r.signed); fault != nil { // where it should be
			return fault
		}
		w.Header().Set("Location", "/"+r.bucket)
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
		return nil
	case http.MethodGet:
	case http.MethodDelete:
		return fail("AccessDenied", "the relay deletes nothing")
	case http.MethodPost:
		return fail("NotImplemented", "deletions and forms are not supported")
	default:
		return fail("MethodNotAllowed", "the specified method is not allowed against this resource")
	}
	if query.Has("location") {
		location := struct {
			XMLName xml.Name `xml:"LocationConstraint"`
			XMLNS   string   `xml:"xmlns,attr"`
			Region  string   `xml:",chardata"`
		}{XMLNS: xmlns, Region: h.region()}
		if location.Region == anyRegion {
			location.Region = "" // the form that S3 uses
		}
		writeXML(w, r.Request, http.StatusOK, location)
		return nil
	}
	for name := range query {
		if !slices.Contains(listQueries, name) {
			return fail("NotImplemented", "this of a bucket is not known here")
		}
	}
	if h.forward != nil {
		return h.forward.list(w, r)
	}
	list := struct {
		XMLName     xml.Name `xml:"ListBucketResult"`
		XMLNS       string   `xml:"xmlns,attr"`
		Name        string
		Prefix      string
		KeyCount    *int `xml:",omitempty"`
		MaxKeys     int
		IsTruncated bool
	}{XMLNS: xmlns, Name: r.bucket, Prefix: query.Get("prefix"), MaxKeys: 1000}
	if query.Get("list-type") == "2" {
		list.KeyCount = new(int)
	}
	writeXML(w, r.Request, http.StatusOK, list)
	return nil
}
