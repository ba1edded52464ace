package runindex

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// All clients begin with the same sentence.
var errTokenInClear = errors.New("a token is sent only over TLS, or to loopback: " +
	"set RUNINDEX_TLS_CA, or dial with WithCAFile or WithTLS")

// credentials returns how calls are protected, and who makes them.
func (s *settings) credentials(address string) ([]grpc.DialOption, error) {
	config := s.tls
	if config == nil && s.caFile != "" {
		roots, err := readRoots(s.caFile)
		if err != nil {
			return nil, err
		}
		config = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	transport := insecure.NewCredentials()
	if config != nil {
		transport = credentials.NewTLS(config)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if s.token == "" {
		return options, nil
	}
	if config == nil && !isLocal(address) {
		return nil, errTokenInClear
	}
	return append(options, grpc.WithPerRPCCredentials(bearer{s.token, config != nil})), nil
}

func readRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return roots, nil
}

// isLocal tells whether what is sent to an address stays on this machine; false where that is not
// certain, as when another machine is asked who localhost is: dns://8.8.8.8/localhost:50051.
func isLocal(address string) bool {
	scheme, rest, _ := strings.Cut(address, ":")
	switch scheme {
	case "unix", "unix-abstract":
		return true
	case "dns", "passthrough":
		address = strings.TrimPrefix(rest, "///")
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// bearer sends a token with each call.
type bearer struct {
	token  string
	secure bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (b bearer) RequireTransportSecurity() bool { return b.secure }
