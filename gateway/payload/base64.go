package payload

import "encoding/base64"

// decodeBase64 decodes as Python's base64.decodebytes: whatever is not of the alphabet is skipped, padding ends the text, and what
// remains must be whole.
func decodeBase64(s string) (string, bool) {
	clean := make([]byte, 0, len(s))
	pads := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/':
			pads = 0
			clean = append(clean, c)
		case c == '=':
			pads++
			if len(clean)%4 >= 2 && len(clean)%4+pads >= 4 {
				return decodeClean(clean)
			}
		}
	}
	if len(clean)%4 != 0 {
		return "", false
	}
	return decodeClean(clean)
}

func decodeClean(clean []byte) (string, bool) {
	out, err := base64.RawStdEncoding.AppendDecode(nil, clean)
	return string(out), err == nil
}

// appendBase64 encodes as Python's base64.encodebytes, with the newlines written as JSON writes them: one after every 76 characters
// and one at the end.
func appendBase64(dst []byte, s string) []byte {
	const line = 57 // bytes that make 76 characters
	for len(s) > 0 {
		n := min(line, len(s))
		dst = base64.StdEncoding.AppendEncode(dst, []byte(s[:n]))
		dst = append(dst, '\\', 'n')
		s = s[n:]
	}
	return dst
}
