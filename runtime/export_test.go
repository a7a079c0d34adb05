package runtime

// Trim applies the journal's retention.
var Trim = (*Runtime).trim
