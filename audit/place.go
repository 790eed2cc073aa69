package audit

import (
	"cmp"

	"github.com/google/uuid"
)

// hashOf returns the hash of a target by which the broker finds its partition: FNV-1a
// of 32 bits over the characters of its token. It is 0 for a target that is not known.
func hashOf(target string) uint32 {
	const offset, prime = 2166136261, 16777619
	if target == "" {
		return 0
	}
	h := uint32(offset)
	for i := range len(target) {
		h = (h ^ uint32(target[i])) * prime
	}
	return h
}

// share returns the partition, of so many, of a target with a hash.
func share(hash uint32, partitions int) int {
	return int(hash % uint32(partitions)) //nolint:gosec // a small positive count
}

// belongs wants a target that a window has to do with to be its partition's: otherwise
// two workers may work on one entity (rule R23). The target of what cannot be read any
// more is not always known.
func (k *walk) belongs(s *stored, op uuid.UUID, target string) {
	n, hash := cmp.Or(s.window.partitions, k.a.partitions), hashOf(target)
	if n == 0 || hash == 0 {
		return
	}
	if want := share(hash, n); want != k.p.id {
		k.complain(Tiling, s, op, "window %s has to do with %s, which of %d partitions belongs to number %d (R23)", s.window.id, target, n, want)
	}
}
