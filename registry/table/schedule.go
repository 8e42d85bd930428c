package table

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

const (
	// MaxSchedule bounds schedules, in bytes.
	MaxSchedule = 300
	// maxEvery is the longest interval.
	maxEvery = 366 * 24 * time.Hour
)

// errSchedule says all that a schedule may be.
var errSchedule = errors.New("is no schedule: write every 15m, every 2h, daily 06:00, daily 06:00,18:30, or the five fields of cron; all in UTC, with single spaces")

// CheckSchedule tells what keeps a text from being a schedule, to be read after it,
// or nil. It may be empty, for no schedule.
func CheckSchedule(text string) error {
	word, rest, _ := strings.Cut(text, " ")
	switch {
	case text == "":
		return nil
	case len(text) > MaxSchedule:
		return fmt.Errorf("must have at most %d characters, not %d", MaxSchedule, len(text))
	case word == "every":
		return checkEvery(rest)
	case word == "daily":
		return checkDaily(rest)
	default:
		return checkCron(text)
	}
}

// checkEvery takes a number with m or h behind it.
func checkEvery(text string) error {
	if text == "" {
		return errSchedule
	}
	unit := time.Minute
	switch text[len(text)-1] {
	case 'm':
	case 'h':
		unit = time.Hour
	default:
		return errSchedule
	}
	number := text[:len(text)-1]
	if number == "" || strings.ContainsFunc(number, func(r rune) bool { return !digit(r) }) {
		return errSchedule
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n < 1 || time.Duration(n) > maxEvery/unit {
		return fmt.Errorf("has the interval %s; from 1m to %dh are taken", text, int(maxEvery.Hours()))
	}
	return nil
}

// checkDaily takes times of a day with commas between them.
func checkDaily(text string) error {
	for at := range strings.SplitSeq(text, ",") {
		if len(at) != len("15:04") {
			return errSchedule
		}
		if _, err := time.Parse("15:04", at); err != nil {
			return fmt.Errorf("has the time %s; from 00:00 to 23:59 are taken", at)
		}
	}
	return nil
}

// fieldsOfCron are minute, hour, day of the month, month and day of the week.
const fieldsOfCron = 5

// checkCron takes the five fields of cron. The parser is shown nothing but fields: it
// would also take zones, by which it panics where they are torn, and other words.
func checkCron(text string) error {
	fields := strings.Split(text, " ")
	odd := strings.ContainsFunc(text, func(r rune) bool { return !letter(r) && !digit(r) && !strings.ContainsRune("*/,- ", r) })
	if len(fields) != fieldsOfCron || odd {
		return errSchedule
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	schedule, err := parser.Parse(text)
	if err != nil {
		return fmt.Errorf("is no schedule of cron: %w", err)
	}
	// It looks five years ahead.
	if schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return errors.New("is a schedule of cron for a day that never comes")
	}
	return nil
}
