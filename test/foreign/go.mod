module github.com/mediavault-io/mediavault/test/foreign

go 1.26
