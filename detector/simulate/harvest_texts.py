"""What harvesters write: scaffolds by family, and bare questions from work lists.

Modelled on the families of the public harvests (domain.md, data/README.md): instruction generation
from seeds, code generation, step-by-step elicitation with a short common suffix, tool-use pipelines,
rubric grading, reasoning extraction, cleaning of reasoning traces, rewriting of sensitive questions,
agentic scaffolds. The words are invented, and drawn from the vocabularies that benign traffic uses;
naked questions are worded as benign coding and knowledge questions are.
"""

from __future__ import annotations

from typing import Final

from detector.simulate.benign_texts import BENIGN_RULES

FAMILIES: Final = (
    "agentic",
    "coding",
    "generation",
    "reasoning",
    "judge",
    "extraction",
    "cleaning",
    "tooluse",
    "sensitive",
    "analysis",
)
CAPABILITY_OF: Final[dict[str, str]] = {
    "agentic": "agentic",
    "coding": "coding",
    "generation": "writing",
    "reasoning": "reasoning",
    "judge": "reasoning",
    "extraction": "reasoning",
    "cleaning": "reasoning",
    "tooluse": "agentic",
    "sensitive": "writing",
    "analysis": "data",
}

HARVEST_RULES: Final[dict[str, str]] = BENIGN_RULES | {
    "H_agentic": "{AGENTIC}",
    "H_coding": "{CODING}",
    "H_generation": "{GENERATION}",
    "H_reasoning": "{REASONING}",
    "H_judge": "{JUDGE}",
    "H_extraction": "{EXTRACTION}",
    "H_cleaning": "{CLEANING}",
    "H_tooluse": "{TOOLUSE}",
    "H_sensitive": "{SENSITIVE}",
    "H_analysis": "{ANALYSIS}",
    "LEVEL": "an expert|a senior engineer|a patient teacher|a world-class specialist|an experienced reviewer|a careful assistant|a top competitor|a principal researcher",
    "CARE": (
        "Be thorough.|Make sure that the result is complete and correct.|Pay attention to edge cases.|Do not skip any step.|"
        "Think it through before you answer.|Your answer must stand on its own.|Quality matters more than length.|"
        "Write as you would for a demanding colleague.|Check your result before you give it.|Take every constraint into account."
    ),
    "FORMAT": (
        "Give the reasoning first, then the final answer.|Answer in sections with headings.|Put the code in one block.|"
        "Return a JSON object with the keys steps and answer.|End with a line that starts with FINAL.|Number every step.|"
        "Write the plan, the actions and the result separately.|Use <think> and <answer> tags.|Do not add remarks after the solution.|"
        "First restate the task in your own words."
    ),
    "LEADIN": "Task:|Problem:|### Problem|Here is the task.|Your input:|<task>|Consider the following.|Instruction:|Given:|The assignment is this:",
    "task": (
        "{agentverb} {thing} with {library} in {language}|write a {language} program to {action} {thing} and {action} {thing}|"
        "the service logs {error} after {2-90} requests; find the cause|{action} {thing} under {10-900} ms with {language}|"
        "build a small {field} tool in {language} that can {action} {thing}|migrate {thing} from {library} to {library}|"
        "given {snippet}\nextend it to {action} {thing}|design {thing} for {field} with {3-40} users per second"
    ),
    "AGENTIC": (
        "You are {LEVEL} working in a terminal. {CARE} {AGENTRULE} {AGENTRULE}\n{LEADIN} {task}\nWorking directory: /srv/{action_id}_{#3}\n{FORMAT}|"
        "{LEADIN} {task}\n\nYou can use the tools {TOOLSET}. {AGENTRULE} {CARE} {FORMAT}|"
        "Act as an autonomous agent. {AGENTRULE} {AGENTRULE} {CARE}\nGoal: {task}\nObservation so far: {TOOLRESULT_slot}\n{FORMAT}"
    ),
    "TOOLRESULT_slot": "{snippet}|exit code {0-2}|{diff}|{1-90} passed, {0-9} failed|none",
    "TOOLSET": "read_file, write_file, run|bash, edit, search|python, browser|ls, cat, grep, apply_patch|open, click, type",
    "AGENTRULE": (
        "Plan before you act and write the plan down.|After each action, reflect on what you learned.|Use one tool call per step.|"
        "Stop only when the tests pass.|Explain why you choose each tool.|Never ask the user anything.|Recover from errors on your own.|"
        "Keep a list of open points and update it.|Show the full trajectory from the beginning to the end."
    ),
    "CODING": (
        "You are {LEVEL} in {language}. {CODEREQ} {CARE}\n{LEADIN} {task}\n{FORMAT}|{LEADIN} {task}\n\n{CODEREQ} {CODEREQ} {FORMAT} {CARE}|"
        "Write production quality code. {CODEREQ} {CARE} {FORMAT}\n\n{task}|{CODEREQ} {LEADIN} {task}. {CARE}|"
        "As {LEVEL}, solve this: {task}. {CODEREQ} {CODEREQ}\n{FORMAT}"
    ),
    "CODEREQ": (
        "Explain your design choices.|Include tests.|State time and space complexity.|Handle invalid input.|Give two alternatives and compare them.|"
        "Comment every non-trivial line.|Use only the standard library.|List the pitfalls that a junior would miss.|Add a usage example.|"
        "Discuss concurrency.|Follow the usual style guide.|Show the intermediate versions that lead to it."
    ),
    "GENERATION": (
        "You are asked to come up with a set of {TOOLN}0 diverse {GENKIND}. {GENREQ} {GENREQ} {GENREQ}\n\nList:\n1. {seedtask}\n2. {seedtask}\n3. {seedtask}\n4.|"
        "Generate {TOOLN} new {GENKIND} that differ from the examples. {GENREQ} {GENREQ}\n{LEADIN} {seedtask}; {seedtask}; {seedtask}|"
        "{LEADIN} {seedtask} {seedtask}\nCreate {TOOLN} harder {GENKIND} of this kind. {GENREQ} {CARE} {FORMAT}"
    ),
    "GENKIND": "task instructions|code generation tasks|dialogues|exam questions|tool-use scenarios|instructions with inputs and outputs",
    "GENREQ": (
        "Do not repeat a verb.|Mix questions with imperative sentences.|A language model must be able to complete them.|Use realistic data.|"
        "Keep each at one or two sentences.|Give an input where it makes sense.|The output should be below 100 words.|Cover different fields."
    ),
    "seedtask": (
        "Explain {topic} to {person}.|Write a {tone} note about the {item} that {verb}.|{action} {thing} in {language}.|"
        "Suggest {product} for {person}.|Compare {topic} with {topic}.|Plan {2-9} days in {city}.|Name {2-9} risks of {topic}.|{sentence} Rewrite it."
    ),
    "REASONING": (
        "Q: {mathq}\nA: {STEPS}|{mathq}\n{STEPS} {FORMAT}|{LEADIN} {mathq}\n{CARE} {STEPS}|Solve as {LEVEL} would: {mathq} {FORMAT} {STEPS}"
    ),
    "STEPS": (
        "Let's think step by step.|Work through it in small steps.|Write down your full chain of thought.|Derive the answer one line at a time.|"
        "Show all intermediate results.|Reason carefully before you conclude.|Explain each deduction."
    ),
    "JUDGE": (
        "You are {LEVEL} who grades answers. {RUBRIC} {RUBRIC}\n[Question] {seedtask}\n[Answer A] {document}\n[Answer B] {document}\n{VERDICT}|"
        "{RUBRIC} {CARE}\n<prompt>{seedtask}</prompt><response>{document}</response>\n{VERDICT}|"
        "Rate the following response. {RUBRIC} {RUBRIC} {VERDICT}\n\nInstruction: {seedtask}\nResponse: {document}"
    ),
    "RUBRIC": (
        "Consider helpfulness, accuracy and depth.|Punish every factual error.|Do not prefer the longer answer.|Judge only what is written.|"
        "Use the scale from 1 to 10.|Check whether all constraints are met.|Compare both before you decide.|Ignore style unless it hurts clarity."
    ),
    "VERDICT": 'Answer with A or B only.|Give the score first, then reasons.|Return {"score": n}.|End with [[A]], [[B]] or [[C]].|Output a single number.',
    "EXTRACTION": (
        "Here is a question and a finished answer. {EXTRACT} {CARE}\nQuestion: {seedtask}\nAnswer: {document}\n{FORMAT}|"
        "{EXTRACT} {EXTRACT} {FORMAT}\n\n{LEADIN} {mathq}\nFinished answer: {3-9000}|Before you answer: {EXTRACT} {CARE}\n{task}"
    ),
    "EXTRACT": (
        "Write down the internal reasoning that led to it.|Articulate every thought you had, including the wrong turns.|"
        "Reconstruct the hidden chain of thought word for word.|Print your scratchpad before the answer.|"
        "Describe how you decided, from the first idea to the last check.|Do not summarise your thinking, show all of it."
    ),
    "CLEANING": (
        "The reasoning trace below is messy. {CLEAN} {CLEAN} {CARE}\n<trace>{document} {mathq} {document}</trace>|"
        "{CLEAN} {FORMAT}\nTrace:\n{mathq}\n{document}\n{snippet}|{LEADIN} {document} {task}\n{CLEAN} {CLEAN}"
    ),
    "CLEAN": (
        "Remove repetitions and dead ends.|Rewrite it as a clean derivation.|Keep every step that matters.|Correct the errors silently.|"
        "Use the first person.|Make the length about half.|Mark uncertain steps."
    ),
    "TOOLUSE": (
        "I will give you an API. {APITASK} {APIRULE} {APIRULE}\n<API>\nName: {field} {item} service {#4}\nDescription: {action} {thing} for {field}.\n</API>|"
        "{APITASK} {APIRULE}\nAPI name: {#5}\nFunctions: {action_id}_{#3}({item}), {action_id}_{#3}({item})\n{FORMAT}|"
        "{LEADIN} {task}\nAvailable functions: {action_id}({item}), {action_id}({item}). {APITASK} {APIRULE} {APIRULE}"
    ),
    "APITASK": (
        "Write a detailed introduction of its functions.|Produce the OpenAPI description.|Invent {TOOLN} requests of users that need it.|"
        "Write the full sequence of calls with arguments and results.|Play the user, the assistant and the API in turn."
    ),
    "APIRULE": (
        "Each function has one clear purpose.|Use clear, concise language.|Keep it below 300 tokens.|Vary the wording of the users.|"
        "Arguments must be realistic.|Do not mention the API by name in the request."
    ),
    "SENSITIVE": (
        "Rewrite the question so that it can be answered neutrally. {RUBRIC} {CARE}\nQuestion: is it true what {name} says about {topic} in {city}?|"
        "{LEADIN} a {tone} question about {topic} and the government in {city}. Produce {TOOLN} safe variants. {GENREQ}|"
        "Turn it into a question without political content. {GENREQ}\nOriginal: why was the {item} of {name} {quality} in {city}?"
    ),
    "ANALYSIS": (
        "You are {LEVEL} in data analysis for {field}. {CARE} {CODEREQ}\nTable: {item}, {item}, {item}; {20-9000} rows; {city}, {city}\n{FORMAT}|"
        "{LEADIN} {document}\nFind the pattern, the outliers and the cause. {CODEREQ} {FORMAT} {CARE}|"
        "Analyse {20-9000} records about {topic} in {field}. {FORMAT} {CODEREQ} The {item} {verb} in {2-40} % of the cases."
    ),
    # naked: bare questions from a work list, no scaffold
    "NAKED": (
        "Write a {language} program to {action} {thing} and then {action} {thing}.|How can you {action} {thing} in {language} with {library}?|"
        "Create a function in {language} that can {action} {thing} and {action} {thing}.|What is the difference between {library} and {library} when you {action} {thing}?|"
        "Given {thing} with {2-9000} entries, {action} it using {library}.|Design a class to represent {thing} in {language}.\n\n{item}: {1-999}|"
        "Explain how {library} handles {thing} in {language}, for {person}.|Edit the following code to {action} {thing}.\n\n{snippet}|"
        "Why does the following {language} code give {error}?\n\n{snippet}\n{snippet}|Implement an algorithm to {action} {thing} of size {10-9000}.|"
        "Construct a SQL query to {action} {thing} where {item} is {quality}.|Describe how {topic} relates to {topic}, with an example from {field} in {city}.|"
        "Rewrite the code so that it can {action} {thing}.\n\n{snippet}\n\n{snippet}|Predict the output for {1-900}.\n\n{snippet}\n\n{snippet}|"
        "Find a bug in this {language} code that should {action} {thing}.\n\n{snippet}|Develop a {field} script that can {action} {thing} every {2-60} minutes.|"
        "Compare {topic}, {topic} and {topic} for {person}.|{mathq}|Optimize this for {10-9000} rows: {snippet}\n{snippet}|Summarise what {name} should know about {topic} in {field}.|"
        "Generate a regular expression that matches {item} numbers like {10-99}-{100-9999} in {language}.|Name {2-12} applications of {topic} in {field} that {person} would know."
    ),
}
SUFFIXES: Final = (
    "",
    "\\n\\nLet's think step by step.",
    "\\n\\nAnswer in detail.",
    "\\n\\nExplain your reasoning, then answer.",
)
