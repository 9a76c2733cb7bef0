package http1

// ParseError says why a message was refused. Every value that the package returns is one of the Err variables
// below, so that refusing costs no allocation and callers may compare by identity or use errors.As.
//
// After a ParseError the connection is not usable: the caller answers (towards a client) and closes.
type ParseError struct {
	// Status is the code to answer a client with: 400, 414, 431, 501 or 505. When a backend's response was
	// refused it has no meaning there, and the proxy answers 502.
	Status int
	// Reason is the stable name of the refusal, in snake_case, for metrics, logs and traces.
	Reason string
}

// Error returns "http1: " and the reason.
func (e *ParseError) Error() string { return "http1: " + e.Reason }

// The closed list of refusals.
var (
	// ErrBadRequestLine: the request line is not method SP target SP version (RFC 9112 section 3).
	ErrBadRequestLine = &ParseError{400, "bad_request_line"}
	// ErrBadMethod: the method is no token, or is longer than 32 bytes (RFC 9110 section 9.1).
	ErrBadMethod = &ParseError{400, "bad_method"}
	// ErrBadTarget: the target has a control or non-ASCII byte, or a form that the method does not allow
	// (RFC 9112 section 3.2).
	ErrBadTarget = &ParseError{400, "bad_target"}
	// ErrBadEscape: a '%' in the path is not followed by two hexadecimal digits (RFC 3986 section 2.1).
	ErrBadEscape = &ParseError{400, "bad_escape"}
	// ErrFragmentInTarget: the target has a '#' (RFC 9112 section 3.2 has no fragment).
	ErrFragmentInTarget = &ParseError{400, "fragment_in_target"}
	// ErrBadAuthority: the authority of an absolute-form or authority-form target is no valid host, or has
	// user information (RFC 9110 section 4.2.4).
	ErrBadAuthority = &ParseError{400, "bad_authority"}
	// ErrTargetTooLong: the target is longer than Limits.MaxTargetBytes (RFC 9110 section 15.5.15).
	ErrTargetTooLong = &ParseError{414, "target_too_long"}
	// ErrBadVersion: the version is not "HTTP/" digit "." digit, in capitals (RFC 9112 section 2.3).
	ErrBadVersion = &ParseError{400, "bad_version"}
	// ErrUnsupportedVersion: the version is well formed and neither 1.0 nor 1.1 (RFC 9110 section 15.6.6).
	ErrUnsupportedVersion = &ParseError{505, "unsupported_version"}

	// ErrBareLF: a line ends in LF without CR (RFC 9112 section 2.2).
	ErrBareLF = &ParseError{400, "bare_lf"}
	// ErrBareCR: a CR without LF (RFC 9112 section 2.2).
	ErrBareCR = &ParseError{400, "bare_cr"}
	// ErrBadHeadEnd: the bytes given to Parse do not end with their first blank line. A Reader never causes
	// it.
	ErrBadHeadEnd = &ParseError{400, "bad_head_end"}
	// ErrHeaderTooLarge: the head is longer than Limits.MaxHeadBytes (RFC 6585 section 5).
	ErrHeaderTooLarge = &ParseError{431, "header_too_large"}
	// ErrTooManyFields: the head has more field lines than Limits.MaxFields (RFC 6585 section 5).
	ErrTooManyFields = &ParseError{431, "too_many_fields"}

	// ErrLeadingSpace: white space between the start line and the first field (RFC 9112 section 2.2).
	ErrLeadingSpace = &ParseError{400, "leading_space"}
	// ErrObsFold: a field line begins with white space, the obsolete line folding (RFC 9112 section 5.2).
	ErrObsFold = &ParseError{400, "obs_fold"}
	// ErrMissingColon: a field line has no colon.
	ErrMissingColon = &ParseError{400, "missing_colon"}
	// ErrEmptyFieldName: a field line begins with its colon.
	ErrEmptyFieldName = &ParseError{400, "empty_field_name"}
	// ErrSpaceBeforeColon: white space between name and colon (RFC 9112 section 5.1).
	ErrSpaceBeforeColon = &ParseError{400, "space_before_colon"}
	// ErrBadFieldName: the name is no token (RFC 9110 section 5.6.2).
	ErrBadFieldName = &ParseError{400, "bad_field_name"}
	// ErrBadFieldValue: the value has a NUL or another control byte but HTAB (RFC 9110 section 5.5).
	ErrBadFieldValue = &ParseError{400, "bad_field_value"}

	// ErrMissingHost: an HTTP/1.1 request without Host (RFC 9112 section 3.2).
	ErrMissingHost = &ParseError{400, "missing_host"}
	// ErrDuplicateHost: more than one Host line (RFC 9112 section 3.2).
	ErrDuplicateHost = &ParseError{400, "duplicate_host"}
	// ErrBadHost: the Host value is empty or no valid host and port (RFC 9112 section 3.2).
	ErrBadHost = &ParseError{400, "bad_host"}

	// ErrBadContentLength: the value is not made of digits only, or exceeds an int64 (RFC 9112 section 6.3).
	ErrBadContentLength = &ParseError{400, "bad_content_length"}
	// ErrDuplicateContentLength: more than one Content-Length line, equal or not (RFC 9112 section 6.3).
	ErrDuplicateContentLength = &ParseError{400, "duplicate_content_length"}
	// ErrLengthAndChunked: both Content-Length and Transfer-Encoding (RFC 9112 section 6.1).
	ErrLengthAndChunked = &ParseError{400, "length_and_chunked"}
	// ErrBadTransferEncoding: not exactly one, final "chunked" (RFC 9112 sections 6.1 and 7).
	ErrBadTransferEncoding = &ParseError{400, "bad_transfer_encoding"}
	// ErrUnknownTransferCoding: a well-formed list with a coding other than chunked (RFC 9112 section 6.1).
	ErrUnknownTransferCoding = &ParseError{501, "unknown_transfer_coding"}
	// ErrTransferEncodingOn10: Transfer-Encoding in an HTTP/1.0 message (RFC 9112 section 6.1).
	ErrTransferEncodingOn10 = &ParseError{400, "transfer_encoding_on_10"}

	// ErrBadChunkSize: a chunk size is not made of hexadecimal digits only (RFC 9112 section 7.1).
	ErrBadChunkSize = &ParseError{400, "bad_chunk_size"}
	// ErrChunkTooLarge: a chunk size does not fit in an int64, or has more than 16 digits (RFC 9112 section
	// 7.1).
	ErrChunkTooLarge = &ParseError{400, "chunk_too_large"}
	// ErrBadChunkExtension: a chunk extension has a control byte (RFC 9112 section 7.1.1).
	ErrBadChunkExtension = &ParseError{400, "bad_chunk_extension"}
	// ErrChunkOverhead: chunk extensions exceed Limits.MaxChunkOverhead, or one size line exceeds 4 KiB.
	ErrChunkOverhead = &ParseError{400, "chunk_overhead"}
	// ErrBadChunkEnd: the data of a chunk is not followed by CRLF (RFC 9112 section 7.1).
	ErrBadChunkEnd = &ParseError{400, "bad_chunk_end"}
	// ErrTrailerTooLarge: the trailer section is longer than Limits.MaxHeadBytes.
	ErrTrailerTooLarge = &ParseError{431, "trailer_too_large"}

	// ErrBadStatusLine: a response does not begin with version SP code (RFC 9112 section 4).
	ErrBadStatusLine = &ParseError{400, "bad_status_line"}
	// ErrBadStatus: the status code is not three digits of 100 to 999 (RFC 9110 section 15).
	ErrBadStatus = &ParseError{400, "bad_status"}
)

// Refusals returns every ParseError of the package, in the order of their definition. The slice is the
// caller's.
func Refusals() []*ParseError {
	return []*ParseError{
		ErrBadRequestLine, ErrBadMethod, ErrBadTarget, ErrBadEscape, ErrFragmentInTarget, ErrBadAuthority,
		ErrTargetTooLong, ErrBadVersion, ErrUnsupportedVersion,
		ErrBareLF, ErrBareCR, ErrBadHeadEnd, ErrHeaderTooLarge, ErrTooManyFields,
		ErrLeadingSpace, ErrObsFold, ErrMissingColon, ErrEmptyFieldName, ErrSpaceBeforeColon,
		ErrBadFieldName, ErrBadFieldValue,
		ErrMissingHost, ErrDuplicateHost, ErrBadHost,
		ErrBadContentLength, ErrDuplicateContentLength, ErrLengthAndChunked,
		ErrBadTransferEncoding, ErrUnknownTransferCoding, ErrTransferEncodingOn10,
		ErrBadChunkSize, ErrChunkTooLarge, ErrBadChunkExtension, ErrChunkOverhead, ErrBadChunkEnd,
		ErrTrailerTooLarge, ErrBadStatusLine, ErrBadStatus,
	}
}
