// Package peers holds our formats against other people's implementations of the same
// specifications: checkpoints, cosignatures, witnesses and tiles. It is a module of its
// own, so that what it compares with is no dependency of the product.
package peers
