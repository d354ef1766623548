package media

import "slices"

// The parts of the security score.
const (
	fullScore     = 100
	costOfReview  = 40 // a stage that wants a person to look
	costOfNote    = 5  // something that a stage says of bytes that it lets pass
	mostOfNotes   = 20 // of one stage
	scoreOfBlocks = 0
)

// Score is the security score of what the stages said, 0 (worst) to 100: 0 when one of them blocks; else 100, less 40 for each
// stage that wants a person to look, less 5 for each thing that another noted (a code: no virus scanner was asked, the content
// could not be decoded, ...), at most 20 for one stage.
func Score(stages []Stage) int {
	score := fullScore
	for _, s := range stages {
		switch s.Verdict {
		case VerdictBlocked:
			return scoreOfBlocks
		case VerdictReview:
			score -= costOfReview
		default:
			score -= min(costOfNote*len(s.Codes), mostOfNotes)
		}
	}
	return max(0, score)
}

// Verdicts is what the stages amount to: the worst of them; and review where the score is below minScore.
func Verdicts(stages []Stage, minScore int) Verdict {
	worst := VerdictClean
	for _, s := range stages {
		switch s.Verdict {
		case VerdictBlocked:
			return VerdictBlocked
		case VerdictReview:
			worst = VerdictReview
		}
	}
	if Score(stages) < minScore {
		return VerdictReview
	}
	return worst
}

// CodeLowScore is the reason of a version that waits because its score is too low, and not because of any one stage.
const CodeLowScore = "low_score"

// Reasons are the codes for which the version is withheld, each once and sorted: those of the stages that said so, or the stage's name
// where it gave none; where only the score did, low_score and what cost it. A version that is clean has none.
func (e Screened) Reasons() []string {
	var codes []string
	if e.Verdict != VerdictReview && e.Verdict != VerdictBlocked {
		return nil
	}
	for _, s := range e.Stages {
		switch {
		case s.Verdict != e.Verdict:
		case len(s.Codes) == 0:
			codes = append(codes, s.Name)
		default:
			codes = append(codes, s.Codes...)
		}
	}
	if codes == nil {
		codes = []string{CodeLowScore}
		for _, s := range e.Stages {
			codes = append(codes, s.Codes...)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}
