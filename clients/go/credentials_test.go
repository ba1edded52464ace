package runindex_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	runindex "github.com/runindex/runindex/clients/go"
	pb "github.com/runindex/runindex/clients/go/runindexv1"
)

// strict answers callers who send its token.
type strict struct{ pb.UnimplementedRunIndexServer }

func (strict) RunExists(ctx context.Context, _ *pb.RunExistsRequest) (*pb.RunExistsResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	if strings.Join(headers.Get("authorization"), ",") != "Bearer secret" {
		return nil, status.Error(codes.Unauthenticated, "who are you")
	}
	return &pb.RunExistsResponse{Exists: true}, nil
}

func TestTLSAndTokenComeFromArgumentsOrTheEnvironment(t *testing.T) {
	address, caFile := serveTLS(t)
	exists := func(opts ...runindex.Option) error {
		t.Helper()
		client := dialTo(t, address, append(opts, fast(1))...)
		_, err := client.Runs.RunExists(soon(t), &pb.RunExistsRequest{RunId: "default"})
		return err
	}

	if err := exists(runindex.WithCAFile(caFile), runindex.WithToken("secret")); err != nil {
		t.Errorf("with arguments: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(caFile))(t))
	if err := exists(runindex.WithTLS(&tls.Config{RootCAs: roots}), runindex.WithToken("secret")); err != nil {
		t.Errorf("with a configuration: %v", err)
	}
	if err := exists(runindex.WithCAFile(caFile)); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
	if err := exists(runindex.WithTLS(&tls.Config{})); status.Code(err) != codes.Unavailable {
		t.Errorf("with a certificate that nobody trusts: %v", err)
	}

	t.Setenv("RUNINDEX_TLS_CA", caFile)
	t.Setenv("RUNINDEX_TOKEN", "secret\n")
	if err := exists(); err != nil {
		t.Errorf("with the environment: %v", err)
	}
}

func TestATokenDoesNotLeaveTheMachineInClear(t *testing.T) {
	_, err := runindex.Dial(t.Context(), "runindex.example:50051", runindex.WithToken("secret"))
	if err == nil || !strings.Contains(err.Error(), ": a token is sent only over TLS, or to loopback: ") ||
		strings.Contains(err.Error(), "secret") {
		t.Errorf("dialling ends with %v", err)
	}
	// On this machine it may.
	client := dial(t, runindex.WithToken("secret"))
	must(client.Runs.RunExists(soon(t), &pb.RunExistsRequest{RunId: "default"}))(t)
}

func TestAFileWithoutCertificatesIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	for _, write := range []bool{false, true} {
		if write {
			if err := os.WriteFile(path, []byte("nothing"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := runindex.Dial(t.Context(), "", runindex.WithCAFile(path))
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("dialling ends with %v", err)
		}
	}
}

// serveTLS serves strict with a certificate for 127.0.0.1, and returns its address and the file of
// that certificate.
func serveTLS(t *testing.T) (address, caFile string) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))(t)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	written := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(caFile, written, 0o600); err != nil {
		t.Fatal(err)
	}
	grpcServer := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(
		&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})))
	pb.RegisterRunIndexServer(grpcServer, strict{})
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	go grpcServer.Serve(listener)
	t.Cleanup(grpcServer.Stop)
	return listener.Addr().String(), caFile
}
