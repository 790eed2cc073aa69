module github.com/hierarchy-events/hierarchy

go 1.26.0

require github.com/google/uuid v1.6.0 // indirect
