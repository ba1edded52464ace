// Package runindex is the Go client of RunIndex, an index of the runs of agents and workflows.
//
// [Dial] returns a [Client], which holds the stubs of all services. What a call means, and how it
// can be refused, is told once, in the contract: the comments of package [runindexv1] repeat it.
// Beside the stubs the client does four things:
//
//   - Each mutation carries a request id. A call that ends with Unavailable is made again, after a
//     wait that grows, with the same id: so it is applied once, however often it is sent.
//   - A refusal is an [*Error], with the reason and its fields.
//   - Each collection can be ranged over: [Client.ListRuns] and its like ask for page after page.
//   - Address, token and certificates come from arguments, or from RUNINDEX_ADDRESS,
//     RUNINDEX_TOKEN and RUNINDEX_TLS_CA.
package runindex

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/runindex/runindex/clients/go/runindexv1"
)

// DefaultAddress is where [Dial] looks for a server when nothing tells it.
const DefaultAddress = "localhost:50051"

const (
	// The server's largest page is 2 MiB of runs, its largest tree 3.75 MiB.
	receiveBytesMax = 16 << 20
	// Above the server's bound of 1 MiB, so that the server answers, with a reason.
	sendBytesMax = 4 << 20
	// Finds a dead peer within this and the next. The server allows a ping every ten seconds.
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
)

// A Client calls a RunIndex server. It is safe for concurrent use, and meant to be shared: one
// holds one connection, which it makes again when it is lost.
//
// The stubs return one answer, or one page, a call; the methods of the client itself range over all
// pages of a collection.
type Client struct {
	// Runs is the index of runs.
	Runs runindexv1.RunIndexClient
	// Data is what runs hold.
	Data runindexv1.RunDataClient
	// Insights is what many runs come to.
	Insights runindexv1.RunInsightsClient
	// Templates is what runs begin with, and copies of runs.
	Templates runindexv1.RunTemplatesClient
	// Maintenance is the store's own service, for operators.
	Maintenance runindexv1.MaintenanceClient

	conn *grpc.ClientConn
}

// Dial returns a client of the server at an address: host:port, or any target that grpc knows. When
// it is empty, RUNINDEX_ADDRESS is taken, or else [DefaultAddress].
//
// It does not wait for a server unless [WithConnect] says so: a server that is not there makes calls
// fail with Unavailable, after their retries. ctx bounds Dial alone, not the life of the client.
func Dial(ctx context.Context, address string, opts ...Option) (*Client, error) {
	settings := newSettings(opts)
	address = firstOf(address, os.Getenv("RUNINDEX_ADDRESS"), DefaultAddress)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("runindex: dial %s: %w", address, err)
	}
	dialOptions, err := settings.dialOptions(address)
	if err != nil {
		return nil, fmt.Errorf("runindex: dial %s: %w", address, err)
	}
	conn, err := grpc.NewClient(address, dialOptions...)
	if err != nil {
		return nil, fmt.Errorf("runindex: dial %s: %w", address, err)
	}
	if settings.connect {
		if err := waitUntilReady(ctx, conn); err != nil {
			conn.Close()
			return nil, fmt.Errorf("runindex: dial %s: %w", address, err)
		}
	}
	return newClient(conn), nil
}

func newClient(conn *grpc.ClientConn) *Client {
	return &Client{
		Runs:        runindexv1.NewRunIndexClient(conn),
		Data:        runindexv1.NewRunDataClient(conn),
		Insights:    runindexv1.NewRunInsightsClient(conn),
		Templates:   runindexv1.NewRunTemplatesClient(conn),
		Maintenance: runindexv1.NewMaintenanceClient(conn),
		conn:        conn,
	}
}

// Conn returns the connection, for services that have no stub here, such as grpc.health.v1.Health.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// Close ends the connection, and the calls that are under way.
func (c *Client) Close() error { return c.conn.Close() }

// An Option says how [Dial] does what it does.
type Option func(*settings)

// WithToken sends a bearer token with each call, instead of RUNINDEX_TOKEN. Without TLS, Dial
// refuses to send one to another machine.
func WithToken(token string) Option { return func(s *settings) { s.token = token } }

// WithCAFile uses TLS, and trusts the certificates in a PEM file, instead of that which
// RUNINDEX_TLS_CA names.
func WithCAFile(path string) Option { return func(s *settings) { s.caFile = path } }

// WithTLS uses TLS so configured, whatever [WithCAFile] or RUNINDEX_TLS_CA say. An empty
// configuration trusts what the machine trusts; one with certificates is for mutual TLS.
func WithTLS(config *tls.Config) Option { return func(s *settings) { s.tls = config } }

// WithTimeout bounds each call that is not a stream and whose context has no deadline, retries
// included: 30 seconds unless it is said; 0 for no bound.
func WithTimeout(timeout time.Duration) Option { return func(s *settings) { s.timeout = timeout } }

// WithRetries makes a call that ends with Unavailable again, until it was made so many times: 5
// unless it is said; 1 for no retries. The waits double from first to longest, 100 milliseconds and
// 2 seconds unless it is said, and are cut short at random by up to a half; the server's own advice
// is waited for at least. A call whose deadline would pass in a wait ends at once.
func WithRetries(attempts int, first, longest time.Duration) Option {
	return func(s *settings) { s.retries = retries{attempts, first, longest} }
}

// WithConnect makes Dial wait until there is a connection, as long as its context or else the
// timeout allows.
func WithConnect() Option { return func(s *settings) { s.connect = true } }

// WithDialOptions passes options on to grpc, after the client's own. Interceptors see each try of a
// call, and statuses as grpc makes them.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(s *settings) { s.further = append(s.further, opts...) }
}

// settings are what options set.
type settings struct {
	token   string
	caFile  string
	tls     *tls.Config
	timeout time.Duration
	retries retries
	connect bool
	further []grpc.DialOption
}

func newSettings(opts []Option) *settings {
	s := &settings{
		token:   strings.TrimSpace(os.Getenv("RUNINDEX_TOKEN")),
		caFile:  os.Getenv("RUNINDEX_TLS_CA"),
		timeout: 30 * time.Second,
		retries: retries{attempts: 5, first: 100 * time.Millisecond, longest: 2 * time.Second},
	}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

func (s *settings) dialOptions(address string) ([]grpc.DialOption, error) {
	credentials, err := s.credentials(address)
	if err != nil {
		return nil, err
	}
	calls := &calls{timeout: s.timeout, retries: s.retries, chance: rand.Float64}
	return append(append(credentials,
		grpc.WithUserAgent("runindex-go"),
		grpc.WithChainUnaryInterceptor(calls.unary),
		grpc.WithChainStreamInterceptor(calls.stream),
		// Retries are made in one place: there.
		grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(receiveBytesMax), grpc.MaxCallSendMsgSize(sendBytesMax)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			// A server that was started again is found within seconds, and not within grpc's two minutes.
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 10 * time.Second}),
	), s.further...), nil
}

// waitUntilReady makes a call that waits for a connection, and tells what was in its way.
func waitUntilReady(ctx context.Context, conn *grpc.ClientConn) error {
	request := &healthpb.HealthCheckRequest{}
	_, err := healthpb.NewHealthClient(conn).Check(ctx, request, grpc.WaitForReady(true))
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return err
	default:
		// Whoever answers, however it answers, is connected.
		return nil
	}
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
