// containerd's own conformance suite of snapshotters, driven over the socket as containerd itself drives a proxy snapshotter.
// scripts/containerd-conformance.sh builds and runs it. THINFUSE_SNAPSHOTTER: the socket.
package conformance

import (
	"context"
	"fmt"
	"os"
	"testing"

	api "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/errdefs"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
)

func TestSnapshotter(t *testing.T) {
	socket := os.Getenv("THINFUSE_SNAPSHOTTER")
	if socket == "" {
		t.Fatal("THINFUSE_SNAPSHOTTER names no socket")
	}
	testsuite.SnapshotterSuite(t, "thinfuse", func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
		connection, err := grpc.Dial("unix://"+socket, grpc.WithInsecure())
		if err != nil {
			return nil, nil, err
		}
		snapshotter := proxy.NewSnapshotter(api.NewSnapshotsClient(connection), "thinfuse")
		return snapshotter, func() error {
			defer connection.Close()
			return removeAll(context.Background(), snapshotter)
		}, nil
	})
}

// The cases use the same keys, and one server serves them all, one after the other: each leaves nothing for the next.
func removeAll(ctx context.Context, snapshotter snapshots.Snapshotter) error {
	for {
		left, removed := 0, 0
		err := snapshotter.Walk(ctx, func(ctx context.Context, info snapshots.Info) error {
			left++
			err := snapshotter.Remove(ctx, info.Name)
			if err == nil || errdefs.IsNotFound(err) {
				removed++
			} else if !errdefs.IsFailedPrecondition(err) {
				return err
			}
			return nil
		})
		if err != nil || left == 0 {
			return err
		}
		if removed == 0 {
			return fmt.Errorf("%d snapshots cannot be removed", left)
		}
	}
}
