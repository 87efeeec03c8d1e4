package main

import (
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// The scripts know nothing of our commands: at each TAB they ask the program itself, by completeWord.
//
//go:embed completion
var completionScripts embed.FS

// completeWord is what a shell's script calls the program with, and behind it the words of the line up to the one being completed,
// which may be empty.
const completeWord = "__complete"

type completionCommand struct {
	Shell string `arg:"" help:"Your shell: ${enum}." enum:"bash,zsh,fish"`
}

// Run prints the script that teaches a shell to complete.
func (c *completionCommand) Run(a *app) error {
	script, err := completionScripts.ReadFile("completion/" + c.Shell)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(script)
	return err
}

// complete prints what may stand in the place of the last word, with a tab and its help behind. It prints nothing where a file or
// free text belongs, so that the shell completes files.
func complete(app *kong.Application, words []string, w io.Writer) {
	for _, c := range candidates(app.Node, words) {
		fmt.Fprintf(w, "%s\t%s\n", c.word, c.help)
	}
}

type candidate struct{ word, help string }

func candidates(node *kong.Node, words []string) []candidate {
	if len(words) == 0 {
		return nil
	}
	words = withoutEquals(words)
	words, current := words[:len(words)-1], words[len(words)-1]
	var valueOf *kong.Flag // whose value the next word is
	positional, onlyArguments := 0, false
	for _, word := range words {
		switch {
		case valueOf != nil:
			valueOf = nil
		case onlyArguments:
			positional++
		case word == "--":
			onlyArguments = true
		case strings.HasPrefix(word, "-"):
			valueOf = takesNext(node, word)
		case child(node, word) != nil:
			node = child(node, word)
		default:
			positional++
		}
	}
	name, value, isValue := strings.Cut(current, "=")
	switch {
	case valueOf != nil:
		return beginning(current, valuesOf(valueOf.Value))
	case onlyArguments:
	case strings.HasPrefix(current, "-") && isValue:
		f := flagNamed(node, name)
		if f == nil {
			return nil
		}
		found := beginning(value, valuesOf(f.Value))
		for i := range found {
			found[i].word = name + "=" + found[i].word
		}
		return found
	case strings.HasPrefix(current, "-"):
		return beginning(current, flags(node))
	case len(node.Children) > 0:
		return beginning(current, commands(node))
	}
	if positional < len(node.Positional) {
		return beginning(current, valuesOf(node.Positional[positional]))
	}
	return nil
}

// withoutEquals undoes what bash does to --flag=value: it passes three words, and wants the third completed alone.
func withoutEquals(words []string) []string {
	var without []string
	for i, word := range words {
		afterFlag := len(without) > 0 && strings.HasPrefix(without[len(without)-1], "--")
		switch {
		case word != "=" || !afterFlag:
			without = append(without, word)
		case i == len(words)-1:
			without = append(without, "")
		}
	}
	return without
}

// takesNext gives the flag that word is, if the word after it is its value.
func takesNext(node *kong.Node, word string) *kong.Flag {
	if f := flagNamed(node, word); f != nil && !f.IsBool() {
		return f
	}
	return nil
}

func flagNamed(node *kong.Node, word string) *kong.Flag {
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			if "--"+f.Name == word {
				return f
			}
		}
	}
	return nil
}

func child(node *kong.Node, name string) *kong.Node {
	for _, c := range node.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func flags(node *kong.Node) (all []candidate) {
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			all = append(all, candidate{"--" + f.Name, helpOf(f.Value)})
		}
	}
	return all
}

func commands(node *kong.Node) (all []candidate) {
	for _, c := range node.Children {
		if !c.Hidden {
			all = append(all, candidate{c.Name, c.Help})
		}
	}
	return all
}

// valuesOf gives the values that there are; nil where anything goes.
func valuesOf(v *kong.Value) (all []candidate) {
	if v.Name == "reason" {
		for _, r := range mirror.Reasons {
			all = append(all, candidate{string(r.Reason), r.Meaning})
		}
		return all
	}
	if v.Enum == "" {
		return nil
	}
	for word := range strings.SplitSeq(v.Enum, ",") {
		all = append(all, candidate{word: word})
	}
	return all
}

func beginning(with string, all []candidate) []candidate {
	return slices.DeleteFunc(all, func(c candidate) bool { return !strings.HasPrefix(c.word, with) })
}
