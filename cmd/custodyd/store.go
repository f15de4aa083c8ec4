package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// store is the object store with what an operator does to it.
type store interface {
	custody.Objects
	io.Closer
	Probe(ctx context.Context) (objectstore.Report, error)
}

// openStoreAsIs opens the store for looking at it alone: nothing is probed or tidied.
func openStoreAsIs(ctx context.Context, s *settings) (store, error) {
	if s.s3.Endpoint == "" {
		d, err := objectstore.OpenDirectory(filepath.Join(s.data, objectsPath), objectstore.Untouched())
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	s3, err := objectstore.ConnectS3(ctx, s.s3)
	if err != nil {
		return nil, err
	}
	return s3, nil
}

// openStore opens the store the settings name.
func openStore(ctx context.Context, s *settings) (store, error) {
	if s.s3.Endpoint == "" {
		d, err := objectstore.OpenDirectory(filepath.Join(s.data, objectsPath))
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	s3, err := objectstore.OpenS3(ctx, s.s3)
	if errors.Is(err, fs.ErrNotExist) && s.s3Create {
		if err := objectstore.CreateBucket(ctx, s.s3); err != nil {
			return nil, err
		}
		s3, err = objectstore.OpenS3(ctx, s.s3)
	}
	var unlocked *objectstore.UnlockedError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: make the bucket with object lock, or give --s3-create-bucket", err)
	case errors.As(err, &unlocked):
		return nil, fmt.Errorf("%w\nuse a store that can, or give --allow-unlocked-store: every entry will then say what is missing", err)
	case err != nil:
		return nil, err
	}
	return s3, nil
}
