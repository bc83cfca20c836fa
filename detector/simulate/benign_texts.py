"""What ordinary people, tools and companies write: the benign grammars.

Invention in its words. What is modelled on the real collections (data/README.md): human sets hardly
share beginnings (0-2 % of prompts in groups of five with the same first 64 characters), published
prompts are copied verbatim, legitimate batch jobs are templated through and through, later turns of
a conversation are short and everybody's ("make it shorter"), some of the traffic is not English.
"""

from __future__ import annotations

from typing import Final

from detector.simulate import words

BENIGN_RULES: Final[dict[str, str]] = {
    "topic0": words.TOPIC,
    "person": words.PERSON,
    "city": words.CITY,
    "name": words.NAME,
    "language": words.LANGUAGE,
    "library": words.LIBRARY,
    "thing0": words.CODE_THING,
    "action": words.CODE_ACTION,
    "error0": words.ERROR,
    "field": words.FIELD,
    "product": words.PRODUCT,
    "item": words.THING,
    "quality": words.ADJECTIVE,
    "verb": words.VERB,
    "topic": (
        "{topic0}|{angle} of {topic0}|{topic0}|{topic0} in {city}|{topic0} and {topic0}|{topic0} for {person}|{topic0} in {field}|"
        "{topic0} compared with {topic0}|{angle} of {topic0} in {city}|{topic0} after {2-60} years|what {name} wrote about {topic0}|"
        "{angle} and {angle} of {topic0}|the link between {topic0} and {topic0}|{topic0} without {topic0}|the {month} report on {topic0}"
    ),
    "angle": (
        "the history|the causes|the basics|the cost|the effects|the ethics|the future|the limits|the economics|the chemistry|"
        "the mathematics|criticism|the origin|the role|the risks|the definition|common myths|the physics|the language|the politics|"
        "the practice|the psychology|three examples|the side effects|the timeline|the vocabulary|the main schools|the benefits"
    ),
    "thing": (
        "{thing0}|{thing0} of {item}s|{thing0}|{thing0} with {2-9000} rows|{thing0} that holds {item}s|{thing0} for {field}|"
        "{thing0} keyed by {item}|{thing0} inside {thing0}|{thing0} called {action_id}_{#3}|{thing0} with {quality} entries|"
        "{thing0} from {thing0}|{thing0} larger than {2-64} GB|{thing0} shared by {2-90} threads|{thing0} for {product}"
    ),
    "error": (
        "{error0}|{error0}|{error0} at line {1-900}|{error0} in {action_id}_{#3}|{error0} after the {library} update|"
        "{error0} ({action_id}.py:{1-900})|{error0} only on {os}|{error0} for {2-90} of {91-900} rows"
    ),
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|tomorrow|next week|yesterday|this morning|last month",
    "tone": "friendly|formal|short|polite|funny|professional|warm|persuasive|apologetic|casual|neutral|enthusiastic",
    # documents: what is pasted, extracted from, summarised
    "sentence": (
        "The {item} for {name} {verb} on {day}.|Our {item} is {quality} and nobody answered since {day}.|"
        "{name} said that the {item} {verb} after the {item} was {quality}.|I ordered {product} in {city} and the {item} {verb}.|"
        "Please check {item} {100-99999}, it is {quality}.|We moved to {city} and the {item} {verb}, which was {quality}.|"
        "In {city} the price went from {2-90} to {91-400} while the {item} stayed {quality}.|"
        "{name} and {name} met about {topic} and agreed on {2-14} points.|The {field} team found {2-60} cases where the {item} {verb}.|"
        "{product} is {quality}, but the {item} {verb}.|After {2-30} days the {item} {verb} again.|"
        "A study of {topic} in {city} followed {40-9000} people for {2-20} years."
    ),
    "document": "{sentence} {sentence}|{sentence} {sentence} {sentence}|{sentence} {sentence} {sentence} {sentence} {sentence}|{sentence}",
    "snippet": (
        "def {action_id}(items):\n    return [x for x in items if x['{#4}'] > {1-99}]|"
        "for i in range({2-50}):\n    print(rows[i]['{#3}'])|const out = data.map(d => d.{#4}).filter(Boolean);|"
        "SELECT {#3}, COUNT(*) FROM t_{#4} WHERE x > {1-900} GROUP BY 1;|if err != nil {\n\treturn nil, err\n}|"
        "class R{#4}:\n    def __init__(self, n={1-64}):\n        self.n = n|fn f_{#3}(v: &Vec<u32>) -> u32 { v.iter().sum() }"
    ),
    "action_id": "load|fetch|parse|merge|clean|filter|build|convert|score|update|group|render|sync|split|check|count|normalise",
    "diff": (
        "--- a/src/{action_id}.py\n+++ b/src/{action_id}.py\n@@ -{1-300},7 +{1-300},9 @@\n-    {action_id}({#4})\n+    {action_id}({#4}, retries={1-9})|"
        "diff --git a/{action_id}_{#3}.ts b/{action_id}_{#3}.ts\n-  const {#4} = {1-90};\n+  const {#4} = {91-900};\n+  log('{action_id}');|"
        "@@ -{1-200} +{1-200} @@\n+if ({#4} == null) return;\n {snippet}"
    ),
    # people who chat: one line per habit of asking
    "ASK": (
        "what is {topic}|Explain {topic} to {person}|explain {topic} in simple terms|How does {topic} work?|{topic}|"
        "Why is {topic} important?|can you help me understand {topic}?|pros and cons of {topic}|{topic} vs {topic}|"
        "write a {tone} email to {name} about the {item} that {verb}|Write a {tone} message to my landlord, the {item} is {quality}|"
        "plan a {2-14} day trip to {city}|what to see in {city} in {2-9} days with kids|best {product} under {20-900} euros|"
        "Give me {3-20} ideas for a {tone} birthday party for {person}|I need a {tone} cover letter for a job in {field}|"
        "how do I talk to {person} about {topic}|is {topic} bad for you?|recipe with what I have: {1-6} eggs, rice, something {quality}|"
        "translate to Spanish: {sentence}|Fix the grammar: {sentence} {sentence}|summarize this: {document}|"
        "what does it mean when the {item} {verb}|I feel {quality} since {day}, could it be {topic}?|"
        "write a poem about {topic} for {name}|short story, {name} in {city}, theme {topic}|"
        "quiz me on {topic}, {3-20} questions|make a study plan for {topic}, exam is {day}|who invented {topic}|"
        "difference between {topic} and {topic}?|give me a {tone} caption for a photo in {city}|"
        "my {product} is {quality}, what can I do|calculate {2-99}% of {100-9999}|{12-999} x {12-99}|"
        "what's the weather like in {city} in {month}|help me word this better: {sentence}|names for a {field} startup|"
        "write a {tone} review for {product}|Can you write an essay of {200-1500} words about {topic}?|"
        "hi|hello, can you help me?|hey {name} here, question about {topic}|is it normal that the {item} {verb}?|"
        "workout plan for {person}, {2-6} days a week|what should I cook {day}|interview questions for a {field} role|"
        "convert {2-500} miles to km|i have {2-40} people coming {day}, menu please, no {product}|explain like im 5: {topic}"
    ),
    "month": "January|February|March|April|May|June|July|August|September|October|November|December",
    "OWNASK": "{ASK}|{ASK} {context}|{context} {ASK}|{ASK} {context} {context}|{ASK}, {context}|{ASK} {context} {context} {context}",
    "context": (
        "I'm {18-79} and live in {city}.|{sentence}|it is for {person}|my {item} {verb} {day}|I only have {2-90} minutes|"
        "keep in mind that {name} is {person}.|I work in {field}.|budget is {20-5000}|we are {2-30} people|I already tried {product}.|"
        "i read about {topic} {day}|the {item} is {quality}|not more than {20-500} words|my teacher {name} said {topic} matters|"
        "deadline {day}|{name} and I are in {city} in {month}.|and please mention {topic}|{name} thinks it is about {topic}, is that right?|"
        "I have had {topic0} for {2-30} years|last time it cost {5-900}|be {tone} please|it happened in {city}, {month} {1-28}"
    ),
    "OWNCODE": "{CODEASK}|{CODEASK} {codecontext}|{codecontext} {CODEASK}|{CODEASK}\n{snippet}\n{codecontext}|{CODEASK} {codecontext} {codecontext}",
    "codecontext": (
        "I use {library} {1-20}.{0-30}.|it runs on {os}|the input has {10-90000} rows|my function is called {action_id}_{#3}|"
        "no {library} please|it must {action} {thing} too|we have {2-40} services in {language}|it worked {day}|{error}|"
        "the table is {item}_{#3}|for a {field} app|it is slow above {100-9000} users|I am new to {language}|see {action_id}.md|"
        "{name} wrote it in {language}|here is what I have:\n{snippet}"
    ),
    "CODEASK": (
        "How do I {action} {thing} in {language}?|write a {language} function to {action} {thing}|{error}|"
        "I get {error} when I {action} {thing} with {library}, why?|fix this:\n{snippet}\n{error}|"
        "{library}: how to {action} {thing}|what does this do?\n{snippet}|Convert this to {language}:\n{snippet}|"
        "best way to {action} {thing} in {language} without {library}?|write tests for\n{snippet}|"
        "Why is {library} so slow when I {action} {thing}?|regex for {item} numbers like {100-999}-{10-99}|"
        "explain {library} to {person}|{language} one liner to {action} {thing}|review my code please\n{snippet}\n{snippet}|"
        "Can you show an example of {library} with {thing}?|how to install {library} on {os}|"
        "sql query: all {item}s that are {quality} since {day}|make this faster\n{snippet}|"
        "Write a script in {language} that reads {thing} and {action_id}s it every {2-60} minutes"
    ),
    "os": "ubuntu|mac|windows 11|debian 12|wsl|alpine|arch|a raspberry pi",
    "FOLLOW": (
        "make it shorter|thanks|continue|can you rewrite that in a {tone} tone?|and for {city}?|why?|give me an example|"
        "ok but what about {topic}?|That's not what I meant, the {item} {verb}|more details please|shorter|in Spanish please|"
        "put it in a table|what if it is {quality}?|is that correct?|are you sure?|great, now for {person}|add {2-9} more|"
        "and {topic}?|simplify|yes|no, the second one|go on|can you add something about {topic}|use bullet points|"
        "thank you!!|Explain step {1-6} again|how long does that take|now write it for {name}|what do you recommend?|another one"
    ),
    "CODEFOLLOW": (
        "still the same error|now I get {error}|it works, thanks|can you add comments?|without {library} please|use {language} instead|"
        "what does line {1-60} do|make it async|also handle the case where {thing} is empty|write a test for it|why not {library}?|"
        "continue|refactor that|full code please|and how do I {action} {thing}?|is there a faster way|type hints please"
    ),
    "FOREIGN": (
        "¿Qué es {topic_es}?|explícame {topic_es} de forma sencilla|Escribe un correo {tono} a {name} sobre {topic_es}|"
        "Was ist {topic_de}?|Erkläre mir {topic_de} einfach|Schreibe eine E-Mail an {name} wegen {topic_de}|"
        "c'est quoi {topic_fr} ?|Explique-moi {topic_fr}|Rédige un message pour {name} sur {topic_fr}|"
        "{topic_zh}是什么?|请用简单的话解释{topic_zh}|帮我写一封关于{topic_zh}的邮件,给{name}|"
        "o que é {topic_es}?|плюсы и минусы: {topic_ru}|объясни {topic_ru} простыми словами|{topic_zh}とは何ですか|"
        "itinerario de {2-9} días en {city}|{2-9} Tage in {city}, was soll ich sehen|traduire en anglais : {topic_fr} et {topic_fr}"
    ),
    "topic_es": "la inflación|la fotosíntesis|el alquiler|los impuestos|la ansiedad|el cambio climático|el contrato|la energía solar|el examen|la diabetes|la guerra fría|el currículum",
    "topic_de": "Inflation|Steuern|den Mietvertrag|Photosynthese|die Kündigung|Wärmepumpen|den Lebenslauf|die Rente|Schlafstörungen|das Grundgesetz|Zinseszins",
    "topic_fr": "l'inflation|le bail|la photosynthèse|les impôts|la retraite|le climat|mon CV|la grammaire|les allergies|la Révolution|le sommeil",
    "topic_zh": "通货膨胀|光合作用|人工智能|气候变化|个人所得税|失眠|面试|量子力学|旅行计划|糖尿病|区块链|租房合同",
    "topic_ru": "ипотека|инфляция|удалённая работа|электромобили|йога|фотосинтез|инвестиции|солнечные панели|бессонница",
    "tono": "formal|amable|breve|profesional|cercano",
    # prompts that people publish, and others paste; the first number is the published prompt
    "PUBLISHED": (
        "I want you to act as {ROLE}. {DUTY} {LIMIT} {OPENING}|Act as {ROLE}. {DUTY} {LIMIT} My first request is about {topic}.|"
        "You are now {ROLE} with {EXPERIENCE}. {DUTY} {DUTY} {LIMIT}|Imagine you are {ROLE}. {DUTY} {LIMIT} {OPENING}|"
        "Ignore what you did before. You will be {ROLE}. {DUTY} {LIMIT} Begin by asking me about {topic}."
    ),
    "ROLE": (
        "a travel guide|a Linux terminal|an English translator and improver|an interviewer|a debate coach|a stand-up comedian|"
        "a personal trainer|a novelist|a life coach|a career counsellor|a chess player|a text adventure game|a philosophy teacher|"
        "a dietician|a historian|an SEO expert|a sommelier|a tech reviewer|a cyber security specialist|a poet|a screenwriter|"
        "a statistician|a financial analyst|a prompt engineer|a math teacher|a recruiter|a UX designer|a gardener|a lawyer|a Socratic tutor"
    ),
    "DUTY": (
        "I will give you a situation and you will answer as such a person would.|You will provide me with practical suggestions only.|"
        "I will type my question and you will reply with the result and nothing else.|Your task is to find the weak points and improve them.|"
        "You should ask me one question at a time and wait for my answer.|Reply with a structured plan and explain each part briefly.|"
        "I will describe my goals and you will create something that helps me to reach them.|You must keep the meaning, but make it better."
    ),
    "LIMIT": (
        "Do not write explanations.|Keep your answers short.|Do not break character.|Never say that you are a model.|"
        "Use simple words.|Answer in the language I write in.|Only reply with the final text.|Rate your confidence at the end.|"
        "Write everything in one code block.|Ask before you assume anything."
    ),
    "EXPERIENCE": "twenty years of experience|a degree from a famous university|a reputation for honesty|a very dry humour|awards in your field",
    "OPENING": "My first sentence is: {sentence}|My first request is: {topic}|Start now with {topic}.|My first command is: {topic}|Begin.",
    # tools with one prompt over all of their users; the first number is the tool
    "TOOL": (
        "{TOOLTASK} {TOOLRULE} {TOOLRULE}\n\n{TOOLMARK}\n{payload}|{payload}\n\n{TOOLTASK} {TOOLRULE}|"
        "{TOOLINTRO} {TOOLTASK} {TOOLRULE}\n{TOOLMARK} {payload}\n{TOOLEND}|### Instructions\n{TOOLTASK}\n- {TOOLRULE}\n- {TOOLRULE}\n### {TOOLMARK}\n{payload}"
    ),
    "payload": "{document}|{diff}|{snippet}\n{snippet}|{document}\n{document}|{diff}\n{diff}",
    "TOOLINTRO": (
        "You are an assistant inside a browser extension.|You help the user of a note-taking app.|You are a commit message writer.|"
        "You are the writing helper of a mail program.|You are a meeting assistant.|You are a plug-in for a code editor.|"
        "The user selected a passage.|You work inside a spreadsheet.|You are a helpful bot in a team chat."
    ),
    "TOOLTASK": (
        "Summarise the following text in {TOOLN} bullet points.|Write a conventional commit message for this change.|"
        "Translate the text below, keeping its formatting.|Answer the question using only the context below.|"
        "Rewrite the selection so that it is clearer.|Extract all action items with their owners.|Suggest a title and {TOOLN} tags.|"
        "Explain the selected code to a new team member.|Draft a reply to the message below.|Generate a docstring for this function.|"
        "Turn this transcript into minutes.|Classify the text into one of the given categories.|Find mistakes in the change below.|"
        "Create {TOOLN} flash cards from this text.|Complete the following paragraph in the same style."
    ),
    "TOOLN": "3|5|7|10|4|6|8",
    "TOOLRULE": (
        "Do not add anything that is not in it.|Keep names and numbers as they are.|Use at most {TOOLN}0 words.|"
        "Reply in the language of the text.|Use imperative mood.|Return JSON only.|If unsure, say so.|Do not use markdown.|"
        "Answer with the result only, no preamble.|Quote the passage you relied on.|Keep a neutral tone.|Stay below 72 characters per line."
    ),
    "TOOLMARK": 'Text:|Input:|CONTEXT|Selection:|<text>|Content:|Diff:|"""|Passage|Document:',
    "TOOLEND": '</text>|Output:|Answer:|"""|Result:|Response:',
    # API customers' own products; the first number is the customer
    "BUSINESS": (
        "You are the {BIZROLE} of {COMPANY}. {BIZTASK} {BIZRULE} {BIZRULE}\n\n{BIZLABEL}: {document}\n{BIZLABEL2}: {item}|"
        "{BIZTASK}\n\n{BIZLABEL}: {document}\n\n{BIZRULE} {TOOLRULE}|{BIZLABEL}: {sentence} {sentence}\n{BIZLABEL2}: {product}\n---\n{BIZTASK} {BIZRULE}|"
        "# {COMPANY} {BIZROLE}\n{BIZTASK} {BIZRULE} {TOOLRULE}\n<{BIZLABEL}>{document}</{BIZLABEL}>|{document}\n\n{BIZTASK} {BIZRULE}|"
        "Company: {COMPANY}. Locale: {BIZLOCALE}. {BIZTASK} {BIZRULE}\n{BIZLABEL}={document}; {BIZLABEL2}={100-99999}"
    ),
    "COMPANY": (
        "Northwind|Acorn & Co|Lumen Health|BlueCart|Fjord Travel|Trailhead|Kite Insurance|Parcelly|Mosaic Bank|Greenroot|Stagehand|"
        "Harbour Legal|Bento|Quill|Orchard|Vantage Homes|Ember Energy|Polestar Tickets|Solace|Tandem|Wren & Hart|Zephyr Air|Cobalt|Petal"
    ),
    "BIZROLE": "support assistant|triage service|content moderator|product writer|claims reader|search helper|routing service|report writer|concierge|compliance checker",
    "BIZTASK": (
        "Decide which department should handle this message.|Write a product description of about {TOOLN}0 words.|"
        "Extract the order number, the sentiment and the request as JSON.|Does this text break our guidelines? Answer yes or no with the rule.|"
        "Answer the customer with the help of the article.|Classify the sentiment as positive, neutral or negative.|"
        "Rank the results by relevance to the query.|Normalise the address and return its parts.|Summarise the call for the next agent.|"
        "Write {TOOLN} search keywords for it.|Translate it for our {BIZLOCALE} shop.|List the clauses that concern liability.|"
        "Tell whether the two records describe the same person.|Score the lead from 1 to 10.|Write a subject line and a teaser."
    ),
    "BIZRULE": (
        "Never promise a refund.|Mention {COMPANY} at most once.|Use our house style: short sentences, no exclamation marks.|"
        "If the customer is angry, apologise first.|Return null for anything that is missing.|Do not give medical advice.|"
        "Use one of: billing, delivery, returns, other.|Prices are in local currency.|Only use the facts given.|Escalate anything legal."
    ),
    "BIZLABEL": "Message|Review|Ticket|Email|Record|Query|Transcript|Product|Note|Item|Article|Comment|Case",
    "BIZLABEL2": "Category|Hint|SKU|Channel|Reference|Priority|Plan|Region",
    "BIZLOCALE": "en-GB|de-DE|fr-FR|es-ES|it-IT|nl-NL|sv-SE|pl-PL|ja-JP|pt-BR",
    # a class: the first number is the assignment, students reword it a little
    "ASSIGNMENT": (
        "{COURSE} {ASSIGN}: {COURSETASK} {COURSERULE} {COURSERULE}|{COURSETASK} {COURSERULE} This is for {COURSE}, {ASSIGN}.|"
        "Help with my {COURSE} homework. {COURSETASK} {COURSERULE}|Question {1-4}. {COURSETASK} {COURSERULE} ({COURSE})"
    ),
    "COURSE": "CS101|ECON 210|BIO 12|Intro to Programming|Data Structures|World History|Statistics I|Marketing 301|Linear Algebra|English Composition|Physics II|HCI|Databases",
    "ASSIGN": "assignment 1|assignment 2|homework 3|lab 4|problem set 5|project milestone 1|exercise sheet 6|week 7|midterm practice",
    "COURSETASK": (
        "Write a program that reads a list of numbers and prints the second largest.|Discuss the causes of the French Revolution with two sources.|"
        "Implement a stack with push, pop and min in constant time.|Explain how a price ceiling changes supply and demand for rental flats.|"
        "Prove that the sum of two even numbers is even.|Design a database schema for a library with loans and fines.|"
        "Compare mitosis and meiosis in a table and give one example each.|Write a SQL query that lists students without a course.|"
        "Analyse the rhetoric of a speech of your choice.|Find the eigenvalues of the matrix and interpret them.|"
        "Simulate a queue at a bakery and report the mean waiting time.|Critique the user interface of the campus website."
    ),
    "COURSERULE": (
        "Show your work.|Use at least 300 words.|Do not use built-in sort functions.|Give your sources.|Explain every step.|"
        "Include a diagram in text form.|State your assumptions.|Submit as a single file.|Discuss the complexity.|Write for a general reader."
    ),
    "student": (
        "{ASSIGNMENT}|{ASSIGNMENT} please|pls solve: {ASSIGNMENT}|{ASSIGNMENT} explain simply|can you help me with this? {ASSIGNMENT}|"
        "{ASSIGNMENT} my name is {name}|I don't understand this: {ASSIGNMENT}"
    ),
    # release day
    "CURIOUS": (
        "which model are you?|what can you do that the old version could not?|how many r's are in strawberry|hi, are you the new model?|"
        "write a haiku about being upgraded|what is your knowledge cutoff|draw a pelican riding a bicycle as svg|"
        "solve: a farmer has {3-40} sheep, all but {2-9} run away|{ASK}|{CODEASK}|tell me a joke no one has heard|"
        "what is {112-999} times {112-999}|write a snake game in {language}|9.11 or 9.9, which is bigger?"
    ),
    # agent harnesses: the task of the user, and what a tool gave back
    "AGENTTASK": (
        "{agentverb} {thing} in {action_id}_{#3}.py|{error}\nfix it|add {library} to the build|the test {action_id}_{#3} fails, {agentverb} it|"
        "implement what is described in docs/{action_id}.md|{CODEASK}|rename {action_id}_{#3} to {action_id}_{#4} everywhere|"
        "why does the {item} page crash? {error}|write unit tests for src/{action_id}|clean up {action_id}.ts|commit this|run the tests|continue"
    ),
    "agentverb": "fix|refactor|look at|add logging to|speed up|document|split|check|rewrite|port to {language}",
    "TOOLRESULT": (
        "{ok}\n{snippet}|exit code {0-2}\n{error}|{diff}|{1-90} passed, {0-9} failed in {1-300}s|src/{action_id}_{#3}.py:{1-900}: {error}|"
        "File written: {action_id}_{#4}.py|{snippet}\n{snippet}|total {8-900}\n-rw-r--r-- {action_id}.py\n-rw-r--r-- {action_id}_{#3}.py|"
        "On branch {action_id}-{#4}\nnothing to commit|npm warn {library}@{1-20}.{0-9}|No matches found"
    ),
    "ok": "<result>|ok|Output:|stdout:|Done.|{1-400} lines",
    "GITDIFFJOB": "Review the following pull request. {TOOLRULE} {TOOLRULE}\n\nTitle: {agentverb} {thing}\n\n{diff}\n{diff}",
    # public benchmarks: the second number is the item, so every organisation asks the same ones
    "BENCHMARK": (
        "The following are multiple choice questions (with answers) about {SUBJECT}.\n\n{benchq}\nA. {topic}\nB. {topic}\nC. {topic}\nD. {topic}\nAnswer:|"
        'Question: {mathq}\nAnswer:|Complete the function.\n\n{snippet}\n    """{agentverb} {thing}"""\n|'
        "Passage: {document}\nQuestion: what is {quality}?\nAnswer:|{mathq} Think, then give the final answer as a number."
    ),
    "SUBJECT": "anatomy|astronomy|college chemistry|econometrics|global facts|high school physics|jurisprudence|machine learning|nutrition|virology",
    "benchq": "Which of these is closest to {topic}?|What best explains that the {item} {verb}?|A {field} firm in {city} grew by {2-90} %. Which applies?",
    "mathq": (
        "{name} has {3-90} apples and gives {name} {1-30}. Then {name} buys {2-60} more. How many are left?|"
        "A train leaves {city} at {1-12}:{10-59} with {30-180} km/h. {city} is {100-900} km away. When does it arrive?|"
        "{name} earns ${9-80} an hour and works {2-60} hours. {5-45} % is tax. What remains?|"
        "A shop sells {product} for {10-400} and gives {5-60} % off on {day}. {name} buys {2-12}. What does it cost?"
    ),
}
