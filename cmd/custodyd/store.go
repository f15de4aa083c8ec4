package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	if errors.Is(err, objectstore.ErrNoBucket) {
		err = fmt.Errorf("%w: name the one that holds the service's objects with --s3-bucket", err)
	}
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
	if errors.Is(err, objectstore.ErrNoBucket) && s.s3Create {
		if err := objectstore.CreateBucket(ctx, s.s3); err != nil {
			return nil, err
		}
		s3, err = objectstore.OpenS3(ctx, s.s3)
	}
	var unlocked *objectstore.UnlockedError
	switch {
	case errors.Is(err, objectstore.ErrNoBucket):
		return nil, fmt.Errorf("%w: see --s3-bucket, or make it with object lock, which it can get only then: "+
			"custodyd serve --s3-create-bucket, or mc mb --with-lock STORE/%s", err, s.s3.Bucket)
	case errors.As(err, &unlocked):
		return nil, fmt.Errorf("%w\nuse a store that can, or give --allow-unlocked-store: every entry will then say what is missing", err)
	case err != nil:
		return nil, err
	}
	return s3, nil
}
