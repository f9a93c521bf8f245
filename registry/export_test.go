package registry

import "context"

// CheckSource checks a source without run and logged model; models:/ URIs, which ask the store, are refused.
func CheckSource(ctx context.Context, s *Service, source string) error {
	if scheme, _ := cutScheme(source); scheme == "models" {
		return UnknownModel(source)
	}
	_, err := s.resolveSource(ctx, VersionSpec{Name: "x", Source: source}, false)
	return err
}
