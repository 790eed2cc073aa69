// Command hierarchy runs workers, submits operations and shows what became of them.
//
// It is the only place of the module that reads flags, the environment and files,
// and that starts a broker. Each subcommand is one file that turns flags into calls
// of the packages below and their results into text or JSON.
package main
